/*
 * Shows over time how many pageviews were people's, and how many were bots'.
 */
import { usePanel } from '../api';
import { bucketOf, number, tickOf } from '../format';
import { More } from './Card';
import { Missing, Nothing } from './Table';

const HEIGHT = 220;

export function BotSeries({ isSeen }: { isSeen: boolean }) {
  const found = usePanel('bot_series', undefined, isSeen);
  const { answer } = found;
  const rows = (answer?.rows ?? []).map(([time, people, bots]) => ({ time: String(time), people: Number(people), bots: Number(bots) }));
  const most = Math.max(1, ...rows.map(row => row.people + row.bots));
  const y = (value: number) => (value / most) * HEIGHT;
  const interval = answer?.period.interval ?? 'day';
  return (
    <div class={found.isStale ? 'card-table stale' : 'card-table'} aria-busy={found.isLoading}>
      {!answer && <Missing panel={found} />}
      {answer && !rows.some(row => row.people || row.bots) && <Nothing />}
      {answer && rows.some(row => row.people || row.bots) && (
        <>
          <figure class="columns-chart">
            <p class="legend">
              <span class="key people" /> People <span class="key bots" /> Bots
            </p>
            <svg viewBox={`0 0 ${rows.length * 10} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
              {rows.map(({ time, people, bots }, index) => (
                <g key={time}>
                  <title>{`${bucketOf(time, interval)}: ${number(people)} people, ${number(bots)} bots`}</title>
                  <rect class="all" x={index * 10} y="0" width="10" height={HEIGHT} />
                  <rect class="people" x={index * 10 + 1} y={HEIGHT - y(people)} width="8" height={y(people)} />
                  <rect class="bots" x={index * 10 + 1} y={HEIGHT - y(people + bots)} width="8" height={y(bots)} />
                </g>
              ))}
            </svg>
            <p class="ends muted" aria-hidden="true">
              <span>{tickOf(rows[0]!.time, interval)}</span>
              <span>{tickOf(rows.at(-1)!.time, interval)}</span>
            </p>
          </figure>
          <div class="unseen">
            <table>
              <caption>Pageviews of people and of bots by {interval}</caption>
              <thead>
                <tr>
                  <th scope="col">Time</th>
                  <th scope="col">People</th>
                  <th scope="col">Bots</th>
                </tr>
              </thead>
              <tbody>
                {rows.map(({ time, people, bots }) => (
                  <tr key={time}>
                    <th scope="row">{bucketOf(time, interval)}</th>
                    <td>{number(people)}</td>
                    <td>{number(bots)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <More panel="bot_series" title="People and bots">
            The highest bar is {number(most)} pageviews
          </More>
        </>
      )}
    </div>
  );
}
