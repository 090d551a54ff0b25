/*
 * Says how many people are on the site now, and asks again every ten seconds while somebody looks.
 */
import { useEffect } from 'preact/hooks';
import { usePanel } from '../api';
import { number } from '../format';

const EVERY_MS = 10_000;

export function Live() {
  const { answer, again, isStale } = usePanel('live', { period: 'day', compare: '', interval: '', filters: [] });
  useEffect(() => {
    const timer = setInterval(() => document.hidden || again(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  if (!answer) return <span class="live" />;
  const visitors = Number(answer.rows[0]?.[answer.columns.indexOf('visitors')] ?? 0);
  return (
    <span class={`live ${isStale ? 'stale' : ''}`} title="People with a pageview in the last five minutes">
      <span class={visitors ? 'dot on' : 'dot'} aria-hidden="true" />
      {number(visitors)} {visitors === 1 ? 'person' : 'people'} now
    </span>
  );
}
