/*
 * Says how many people are on the site now, and asks again every ten seconds while the page is visible. Opened, it lists their pages and countries.
 */
import { useEffect } from 'preact/hooks';
import { usePanel } from '../api';
import { number } from '../format';
import { valueOf } from '../words';
import { Menu } from './Menu';

const EVERY_MS = 10_000;
const SHOWN = 8;

function useLive(dimension: string, limit: number) {
  const panel = usePanel('live', { period: 'day', compare: '', interval: '', filters: [], limit, parameters: { dimension } });
  useEffect(() => {
    const timer = setInterval(() => document.hidden || panel.again(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return panel;
}

export function Live() {
  const { answer, isStale } = useLive('', 1);
  if (!answer) return <span class="live" />;
  const visitors = Number(answer.rows[0]?.[answer.columns.indexOf('visitors')] ?? 0);
  const label = (
    <span class={isStale ? 'live stale' : 'live'}>
      <span class={visitors ? 'dot on' : 'dot'} aria-hidden="true" />
      <span>
        {number(visitors)} {visitors === 1 ? 'person' : 'people'} now
      </span>
    </span>
  );
  return (
    <Menu label={label} kind="icon now">
      {() => (
        <div class="lists">
          <p class="label">People who opened a page in the last five minutes</p>
          <List dimension="page" title="Pages" />
          <List dimension="country" title="Countries" />
        </div>
      )}
    </Menu>
  );
}

function List({ dimension, title }: { dimension: string; title: string }) {
  const { answer, problem } = useLive(dimension, SHOWN);
  const [name, visitors] = [answer?.columns.indexOf(dimension) ?? 0, answer?.columns.indexOf('visitors') ?? 0];
  return (
    <table>
      <caption>{title}</caption>
      <tbody>
        {answer?.rows.map(row => (
          <tr key={String(row[name])}>
            <th scope="row">{valueOf(dimension, row[name])}</th>
            <td>{number(Number(row[visitors]))}</td>
          </tr>
        ))}
        {answer?.rows.length === 0 && (
          <tr>
            <td>Nobody</td>
          </tr>
        )}
        {problem && (
          <tr>
            <td>{problem}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}
