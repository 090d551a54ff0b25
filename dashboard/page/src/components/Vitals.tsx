/*
 * Shows how quick pages were: for each vital its 75th percentile, and how many measurements were good, need improvement or were poor; then the
 * same percentile by page, device, country or browser.
 */
import { usePanel } from '../api';
import { cell, number } from '../format';
import { facts, pickOf } from '../state';
import type { Cell, PanelAnswer } from '../types';
import { headOf } from '../words';
import { Card, Do, Pick } from './Card';
import { CardTable, Missing, Nothing } from './Table';

// Good up to the first, poor above the second, as web.dev has them; dashboard/queries/vital_shares.sql counts by the same.
const BOUNDS: Record<string, [good: number, poor: number]> = {
  lcp: [2500, 4000],
  inp: [200, 500],
  cls: [0.1, 0.25],
  fcp: [1800, 3000],
  ttfb: [800, 1800],
};
const EXPLAINED: Record<string, string> = {
  lcp: 'Until the largest content shows',
  inp: 'Response to a click or key',
  cls: 'How much the layout shifts',
  fcp: 'Until the first content shows',
  ttfb: 'Until the first byte arrives',
};
const WORDS: Record<string, string> = { good: 'Good', middling: 'Needs improvement', poor: 'Poor' };

function moodOf(vital: string, value: Cell | undefined): string {
  const bounds = BOUNDS[vital];
  if (!bounds || typeof value !== 'number') return '';
  return value <= bounds[0] ? 'good' : value <= bounds[1] ? 'middling' : 'poor';
}

export function Vitals() {
  const by = pickOf('vitals', 'page');
  return (
    <Card
      name="vitals"
      title="Web vitals"
      tools={
        <Pick
          name="vitals"
          label="Web vitals by"
          options={[
            ['page', 'By page'],
            ['device', 'By device'],
            ['country', 'By country'],
            ['browser', 'By browser'],
          ]}
        />
      }
    >
      {isSeen => <Shares by={by} isSeen={isSeen} />}
    </Card>
  );
}

const tag = (): string => (facts.value?.snippet ?? '').replace('></script>', ' data-with="vitals"></script>');

function Shares({ by, isSeen }: { by: string; isSeen: boolean }) {
  const found = usePanel('vital_shares', { compare: '', interval: '' }, isSeen);
  const { answer } = found;
  const isEmpty = answer?.rows.length === 0;
  return (
    <>
      <div class={found.isStale ? 'report stale' : 'report'} aria-busy={found.isLoading}>
        {!answer && <Missing panel={found} />}
        {isEmpty && (
          <Nothing>
            <Do what="the snippet" text={tag()}>
              The browsers of your visitors measure how quick your pages are. With this tag in their head they send it:
            </Do>
          </Nothing>
        )}
        {answer && !isEmpty && <Tiles answer={answer} />}
      </div>
      {answer && !isEmpty && (
        <CardTable key={by} panel="vitals" title="Web vitals" columns={['samples', ...Object.keys(BOUNDS)]} isWanted={isSeen} mood={moodOf} />
      )}
    </>
  );
}

function Tiles({ answer }: { answer: PanelAnswer }) {
  const of = (row: Cell[], column: string) => Number(row[answer.columns.indexOf(column)]);
  return (
    <ul class="tiles">
      {Object.keys(BOUNDS).map(vital => {
        const row = answer.rows.find(row => row[0] === vital);
        if (!row) return null;
        const mood = moodOf(vital, of(row, 'p75'));
        return (
          <li key={vital}>
            <h3>
              {headOf(vital)} <span class="muted">{EXPLAINED[vital]}</span>
            </h3>
            <p>
              <strong>{cell(vital, of(row, 'p75'))}</strong> <span class={mood}>{WORDS[mood]}</span>
            </p>
            <div class="parts-bar" aria-hidden="true">
              {Object.keys(WORDS).map(part => (
                <span key={part} class={part} style={{ flexGrow: of(row, part) }} />
              ))}
            </div>
            <p class="muted">
              {Object.keys(WORDS)
                .map(part => `${number(of(row, part))} ${WORDS[part]!.toLowerCase()}`)
                .join(' · ')}
            </p>
          </li>
        );
      })}
    </ul>
  );
}
