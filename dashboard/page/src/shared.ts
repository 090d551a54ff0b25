/*
 * Knows the public link that the page was opened by, if it was by one: /shared/TOKEN. The page then shows one site, and asks for it by the link's ID.
 * The server decides what a link shows (dashboard/web/reach.py). What it would refuse is not asked for and not offered here.
 */
import { signal } from '@preact/signals';
import type { Hidden, LinkFacts } from './types';
import { PERIODS, sentence } from './words';

const DAY_MS = 86_400_000;
// The longest that each period can reach back, in days.
const REACH: Record<string, number> = { day: 1, yesterday: 2, '7d': 7, '28d': 28, '91d': 91, month: 31, last_month: 62, year: 366, '12mo': 366 };
const HIDDEN: Record<Hidden, string[]> = {
  properties: ['properties', 'property', 'outbound', 'downloads', 'forms', 'not_found'],
  users: ['retention'],
  revenue: ['revenue', 'campaigns'],
};

/** The ID of the link; '' for whoever did not come by one. */
export const LINK = /^\/shared\/([0-9A-Za-z]{10})_/.exec(location.pathname)?.[1] ?? '';
/** What the link shows; null until the server has said it. */
export const shared = signal<LinkFacts | null>(null);
/** Whether the link shows nothing any more. */
export const isOver = signal(false);

/** Returns the address of something of the server, as whoever has the link asks for it. */
export const addressed = (path: string): string => (LINK ? `${path}${path.includes('?') ? '&' : '?'}link=${LINK}` : path);

export const hides = (what: Hidden): boolean => !!shared.value?.hidden.includes(what);

/** Tells whether the link does not show a panel. */
export const isClosed = (panel: string): boolean => !!shared.value?.hidden.some(what => HIDDEN[what].includes(panel));

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Returns the first and the last day that may be shown, '' where there is no bound. Days are those of UTC here; the server knows the site's. */
export function daysShown(): { since: string; until: string } {
  const { days = 0, since = null, until = null } = shared.value ?? {};
  return { since: days ? dayOf(Date.now() - (days - 1) * DAY_MS) : (since ?? ''), until: until ?? '' };
}

/** Tells whether today is one of the days that are shown. */
export function showsToday(): boolean {
  const [{ since, until }, today] = [daysShown(), dayOf(Date.now())];
  return since <= today && (!until || today <= until);
}

/** Tells whether the link shows all of a period that ends today or before. */
function reaches(period: string): boolean {
  const { since } = daysShown();
  return showsToday() && (!since || since <= dayOf(Date.now() - ((REACH[period] ?? Infinity) - 1) * DAY_MS));
}

/** Returns the periods that can be chosen. All days of a link have its own words. */
export function offered(): [period: string, title: string][] {
  const found = shared.value;
  if (!found || !(found.days || found.since || found.until)) return PERIODS;
  const all = sentence(found.within);
  return PERIODS.filter(([period, title]) => period in REACH && title !== all && reaches(period)).concat([['all', all]]);
}

/** Returns the period that is shown first. */
export const firstPeriod = (isYoung: boolean): string => (offered().some(([period]) => period === '28d') ? (isYoung ? 'day' : '28d') : 'all');
