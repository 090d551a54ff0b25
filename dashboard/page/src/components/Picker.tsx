/*
 * Chooses the period, what it is compared with, and whether bots are counted, and says in which time zone days begin.
 */
import { useState } from 'preact/hooks';
import { range } from '../format';
import { daysShown, offered } from '../shared';
import { facts, go, period, shownPeriod, view } from '../state';
import { COMPARISONS } from '../words';
import { AddFilter } from './Filters';
import { Choices, Menu } from './Menu';

export function Picker() {
  const shown = shownPeriod.value;
  const periods = offered();
  const title = periods.find(([name]) => name === period.value)?.[1];
  const dates = shown ? range(shown.since, shown.until) : '';
  const said = title ?? (dates || 'Choose a period'); // of a link that names none, there are no dates
  const { compare, bots } = view.value;
  return (
    <div class="picker">
      <AddFilter />
      <Steps />
      <Menu
        kind="period"
        align="right"
        name={`Period: ${said}`}
        label={
          <>
            <span class="chosen">{said}</span>
            {title && dates && period.value !== 'day' && period.value !== 'yesterday' && <span class="muted dates">{dates}</span>}
          </>
        }
      >
        {close => (
          <div class="columns">
            <div>
              <Choices title="Period" options={periods} chosen={period.value} choose={value => (go({ period: value, interval: '' }), close())} />
            </div>
            <div>
              <Custom close={close} />
              <Choices title="Compared with" options={COMPARISONS} chosen={compare} choose={value => go({ compare: value })} />
              <label class="switch">
                <input type="checkbox" checked={bots} onChange={event => go({ bots: event.currentTarget.checked })} />
                Count bots too
              </label>
              <p class="muted zone">Time zone: {(shown?.zone ?? facts.value?.zone ?? 'that of the site').replaceAll('_', ' ')}</p>
            </div>
          </div>
        )}
      </Menu>
    </div>
  );
}

/** Chooses a period by its first and its last day. */
function Custom({ close }: { close: () => void }) {
  const shown = shownPeriod.value;
  const [since, setSince] = useState(shown?.since ?? '');
  const [until, setUntil] = useState(shown?.until ?? '');
  const isWrong = since > until;
  const bounds = daysShown();
  const [min, max] = [bounds.since || undefined, bounds.until || undefined];
  const submit = (event: Event) => {
    event.preventDefault();
    if (!since || !until || isWrong) return;
    go({ period: `${since},${until}`, interval: '' });
    close();
  };
  return (
    <form class="custom" onSubmit={submit}>
      <p class="label" aria-hidden="true">
        Other days
      </p>
      <div class="pair">
        <input type="date" required aria-label="First day" min={min} max={max} value={since} onInput={event => setSince(event.currentTarget.value)} />
        <input type="date" required aria-label="Last day" min={min} max={max} value={until} onInput={event => setUntil(event.currentTarget.value)} />
      </div>
      {isWrong && <p class="problem">The first day is after the last.</p>}
      <button type="submit" class="button strong">
        Show these days
      </button>
    </form>
  );
}

const DAY_MS = 86_400_000;
const text = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
// Periods of so many whole months, although some of them end today.
const MONTHS: Record<string, number> = { month: 1, last_month: 1, year: 12, '12mo': 12 };

/** Goes to the period before or after this one, of the same length; whole months stay whole. */
function Steps() {
  const shown = shownPeriod.value;
  if (!shown || period.value === 'all') return null;
  const [since, until] = [Date.parse(shown.since), Date.parse(shown.until)];
  const bounds = daysShown();
  const step = (by: 1 | -1) => {
    const [first, after] = [new Date(since), new Date(until + DAY_MS)];
    const between = (after.getUTCFullYear() - first.getUTCFullYear()) * 12 + after.getUTCMonth() - first.getUTCMonth();
    const areWhole = first.getUTCDate() === 1 && after.getUTCDate() === 1;
    const months = MONTHS[period.value] ?? (areWhole ? between : 0);
    if (!months) return `${text(since + by * (until - since + DAY_MS))},${text(until + by * (until - since + DAY_MS))}`;
    const start = (count: number) => Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + count * months, 1);
    return `${text(start(by))},${text(start(by + 1) - DAY_MS)}`;
  };
  const show = (by: 1 | -1) => go({ period: step(by), interval: '' });
  return (
    <div class="steps">
      <button type="button" class="button" aria-label="Earlier" disabled={shown.since <= bounds.since} onClick={() => show(-1)}>
        <svg viewBox="0 0 8 12" aria-hidden="true">
          <path d="M6.5 1 1.5 6l5 5" />
        </svg>
      </button>
      <button type="button" class="button" aria-label="Later" disabled={shown.is_running || (bounds.until !== '' && shown.until >= bounds.until)} onClick={() => show(1)}>
        <svg viewBox="0 0 8 12" aria-hidden="true">
          <path d="m1.5 1 5 5-5 5" />
        </svg>
      </button>
    </div>
  );
}
