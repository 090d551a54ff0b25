/*
 * Shows one number over the period, as a line and as a table.
 */
import { useState } from 'preact/hooks';
import { usePanel } from '../api';
import { bucketOf, cell, range } from '../format';
import { facts, go, view } from '../state';
import { periodOf, running } from '../scale';
import type { Cell, PanelAnswer } from '../types';
import { INTERVALS, headOf } from '../words';
import { Changed } from './Kpis';
import { Choices, Menu } from './Menu';
import { LINK } from '../shared';
import { Annotate } from './Notes';
import { Plot, type Dot } from './Plot';

const KINDS: Record<string, 'number' | 'seconds' | 'percent' | 'whole'> = {
  views_per_visit: 'number',
  bounce_rate: 'percent',
  visit_duration: 'seconds',
};

export function Chart() {
  const { metric } = view.value;
  const { answer, problem, isStale, again } = usePanel('series');
  const [active, activate] = useState(-1);
  const [isTable, showTable] = useState(false);
  if (!answer) return <Blank problem={problem} again={again} />;
  const column = answer.columns.includes(metric) ? metric : 'visitors';
  const interval = answer.period.interval;
  const nowAt = answer.period.is_running ? running(answer.rows.map(row => row[0]), answer.as_of, answer.period.zone) : -1;
  const dots = dotsOf(answer, column, nowAt);
  const choose = (index: number) => {
    const days = periodOf(dots[index]?.bucket, interval);
    if (days) go({ period: days, interval: '' });
  };
  return (
    <figure class={isStale ? 'chart stale' : 'chart'}>
      <figcaption>
        <h2>{headOf(column)}</h2>
        <Legend answer={answer} />
        <span class="space" />
        <Interval answer={answer} />
        {!LINK && <Annotate />}
        <button type="button" class="button" aria-pressed={isTable} onClick={() => showTable(!isTable)}>
          Table
        </button>
      </figcaption>
      {!isTable && (
        <div class="stage">
          <Plot
            dots={dots}
            column={column}
            kind={KINDS[column] ?? 'whole'}
            interval={interval}
            sentence={sentence(answer, column)}
            nowAt={nowAt}
            active={active < dots.length ? active : -1}
            activate={activate}
            choose={choose}
          />
          {dots[active] && <Tip dot={dots[active]} column={column} at={active / Math.max(dots.length - 1, 1)} />}
        </div>
      )}
      <Rows dots={dots} column={column} interval={interval} isSeen={isTable} hasBefore={!!answer.compared} />
    </figure>
  );
}

/** Pairs each bucket with the one that it is compared with. Buckets that have not begun have no value, so the line ends before them. */
function dotsOf(answer: PanelAnswer, column: string, nowAt: number): Dot[] {
  const at = answer.columns.indexOf(column);
  const value = (row: Cell[] | null | undefined) => (typeof row?.[at] === 'number' ? row[at] : null);
  const interval = answer.period.interval;
  return answer.rows.map((row, index) => ({
    bucket: String(row[0]),
    name: bucketOf(row[0], interval) + (index === nowAt ? ' (so far)' : ''),
    value: nowAt >= 0 && index > nowAt ? null : value(row),
    before: value(answer.compared?.[index]),
    beforeName: bucketOf(answer.compared?.[index]?.[0], interval),
    notes: notesIn(periodOf(row[0], interval) || String(row[0]).slice(0, 10), interval === 'hour' && !String(row[0]).includes(' 00:')),
  }));
}

/** Returns the annotations of a bucket; those of a day stand at its first hour. */
function notesIn(days: string, isLater: boolean): string[] {
  const [since, until] = days.split(',') as [string, string?];
  const all = isLater ? [] : (facts.value?.annotations ?? []);
  return all.filter(({ date }) => date >= since && date <= (until ?? since)).map(({ text }) => text);
}

function sentence(answer: PanelAnswer, column: string): string {
  const { since, until, interval } = answer.period;
  return `${headOf(column)} by ${interval}, ${range(since, until)}. Arrow keys move from point to point. The table that follows has the same numbers.`;
}

function Legend({ answer }: { answer: PanelAnswer }) {
  const other = answer.compared_period;
  if (!answer.compared || !other) return null;
  return (
    <p class="legend">
      <svg viewBox="0 0 24 4" aria-hidden="true">
        <path d="M0 2h24" />
      </svg>
      {range(other.since, other.until)}
    </p>
  );
}

/** Offers the intervals that give the line neither too few nor too many points. */
function Interval({ answer }: { answer: PanelAnswer }) {
  const { since, until, interval } = answer.period;
  const days = (Date.parse(until) - Date.parse(since)) / 86_400_000 + 1;
  const fits: Record<string, boolean> = { hour: days <= 14, day: days > 1 && days <= 800, week: days > 13, month: days > 59 };
  const options = INTERVALS.filter(([name]) => fits[name] || name === interval);
  if (options.length < 2) return null;
  return (
    <Menu label={INTERVALS.find(([name]) => name === interval)?.[1] ?? interval} name={`Interval: ${interval}`} align="right">
      {close => <Choices title="One point for each" options={options} chosen={interval} choose={value => (go({ interval: value }, 'replace'), close())} />}
    </Menu>
  );
}

interface TipProps {
  dot: Dot;
  column: string;
  at: number; // 0 to 1, from the left
}

function Tip({ dot, column, at }: TipProps) {
  return (
    <div class="tip" aria-hidden="true" style={{ left: `${at * 100}%`, transform: `translateX(${-at * 100}%)` }}>
      <p class="muted">
        {dot.name}
      </p>
      <p>
        <strong>{cell(column, dot.value)}</strong> {headOf(column).toLowerCase()}
      </p>
      {dot.before !== null && (
        <p class="muted">
          {cell(column, dot.before)} · {dot.beforeName} <Changed column={column} now={dot.value} before={dot.before} />
        </p>
      )}
      {dot.notes.map(note => (
        <p key={note} class="note">
          {note}
        </p>
      ))}
    </div>
  );
}

interface RowsProps {
  dots: Dot[];
  column: string;
  interval: string;
  isSeen: boolean;
  hasBefore: boolean;
}

function Rows({ dots, column, interval, isSeen, hasBefore }: RowsProps) {
  return (
    <div class={isSeen ? 'scroll behind' : 'unseen behind'} tabIndex={isSeen ? 0 : undefined} role="region" aria-label={`${headOf(column)} as a table`}>
      <table>
        <caption class="unseen">
          {headOf(column)} by {interval}
        </caption>
        <thead>
          <tr>
            <th scope="col">{interval === 'hour' ? 'Hour' : interval === 'month' ? 'Month' : interval === 'week' ? 'Week' : 'Day'}</th>
            <th scope="col">{headOf(column)}</th>
            {hasBefore && <th scope="col">Before</th>}
            {hasBefore && <th scope="col">Change</th>}
          </tr>
        </thead>
        <tbody>
          {dots.map(dot => (
            <tr key={dot.bucket}>
              <th scope="row">
                {dot.name}
                {dot.notes.length > 0 && <span class="muted"> {dot.notes.join(', ')}</span>}
              </th>
              <td>{cell(column, dot.value)}</td>
              {hasBefore && <td>{cell(column, dot.before)}</td>}
              {hasBefore && (
                <td>
                  <Changed column={column} now={dot.value ?? undefined} before={dot.before ?? undefined} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Blank({ problem, again }: { problem: string; again: () => void }) {
  return (
    <div class="chart blank-chart" aria-busy={!problem}>
      {problem && (
        <p class="problem" role="alert">
          {problem}{' '}
          <button type="button" class="button" onClick={again}>
            Try again
          </button>
        </p>
      )}
    </div>
  );
}
