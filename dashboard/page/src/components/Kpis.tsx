/*
 * Shows the totals of the period, each with its change. Each total is a button that shows this number in the chart.
 */
import { useEffect } from 'preact/hooks';
import { usePanel } from '../api';
import { cell, change, number } from '../format';
import { go, isQuiet, shownPeriod, view } from '../state';
import type { Cell } from '../types';
import { EXPLAINED, headOf } from '../words';

const SHOWN = ['visitors', 'visits', 'pageviews', 'views_per_visit', 'bounce_rate', 'visit_duration', 'events'];

export function Kpis() {
  const { answer, problem, isStale } = usePanel('totals');
  const row = answer?.rows[0];
  const before = answer?.compared?.[0] ?? undefined;
  const of = (cells: Cell[] | undefined, column: string) => cells?.[answer!.columns.indexOf(column)];
  useEffect(() => {
    shownPeriod.value = answer?.period ?? null;
    isQuiet.value = !!row && !row.some(Boolean) && !view.value.filters.length;
    if (row) performance.mark('numbers'); // the moment by which "interactive" is measured
  }, [answer]);
  return (
    <div class={isStale ? 'kpis stale' : 'kpis'} role="group" aria-label="Totals; choose one to see it in the chart" aria-busy={!row && !problem}>
      {SHOWN.map(column => (
        <Kpi key={column} column={column} now={of(row, column)} before={of(before, column)} isReady={!!row} />
      ))}
      {problem && !row && <p class="problem">{problem}</p>}
    </div>
  );
}

interface Props {
  column: string;
  now: Cell | undefined;
  before: Cell | undefined;
  isReady: boolean;
}

function Kpi({ column, now, before, isReady }: Props) {
  const isChosen = view.value.metric === column;
  const exact = typeof now === 'number' && now >= 10_000 ? number(now) : undefined;
  return (
    <button type="button" class="kpi" aria-pressed={isChosen} title={EXPLAINED[column]} onClick={() => go({ metric: column }, 'replace')}>
      <span class="label">{headOf(column)}</span>
      <span class="value" title={exact}>
        {isReady ? cell(column, now, true) : <span class="blank" />}
      </span>
      <Changed column={column} now={now} before={before} />
    </button>
  );
}

/** Writes a change as an arrow and a number; its colour only repeats them. */
export function Changed({ column, now, before }: Omit<Props, 'isReady'>) {
  const found = change(column, now, before);
  if (!found) return <span class="change" />;
  const mood = found.isBetter === null ? '' : found.isBetter ? 'better' : 'worse';
  const words = found.arrow === '↑' ? 'up' : found.arrow === '↓' ? 'down' : 'unchanged';
  return (
    <span class={`change ${mood}`} title={`Before: ${cell(column, before)}`}>
      <span aria-hidden="true">{found.arrow}</span>
      <span class="unseen">{words} </span>
      {found.text}
    </span>
  );
}
