/*
 * Holds the state of the page as signals: a component that reads one while it draws is drawn again when it changes.
 * `view` is the address (url.ts). `go` changes it with an entry in the history, `link` is for links that do the same.
 */
import { computed, signal } from '@preact/signals';
import { firstPeriod } from './shared';
import type { Filter, Period, SiteFacts, SiteInList } from './types';
import { EMPTY, read, write, type Order, type View } from './url';

export const view = signal<View>(read(location.hash));
addEventListener('hashchange', () => (view.value = read(location.hash)));

/** Shows something else. With `replace` Back does not return to what was shown before. */
export function go(change: Partial<View>, how: 'push' | 'replace' = 'push'): void {
  const hash = write({ ...view.value, ...change });
  if (hash === write(view.value)) return;
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', hash);
  view.value = read(hash);
}

export const link = (change: Partial<View>): string => write({ ...view.value, ...change });

/** Returns the address of a site. The period, its comparison and bots stay as they were chosen; filters don't. */
export const linkToSite = (site: string): string =>
  write({ ...EMPTY, site, period: view.value.period, compare: view.value.compare, bots: view.value.bots });

// What the server says of sites; null until it has.
export const sites = signal<SiteInList[] | null>(null);
export const facts = signal<SiteFacts | null>(null);
/** The days that the totals are of. */
export const shownPeriod = signal<Period | null>(null);
/** Whether these days have no event at all although nothing is filtered. */
export const isQuiet = signal(false);

// A site whose first event is younger than this is shown by the hour of today: 28 days would be one point.
const YOUNG_SECONDS = 36 * 3_600;
export const isYoung = computed(() => {
  const first = facts.value?.first_event;
  return first != null && Date.now() / 1000 - first < YOUNG_SECONDS;
});

// Whoever has just put the snippet into a page waits for what it does, for about this long.
const NEW_SECONDS = 3_600;
/** Whether what is shown is new: a site in the hour after its first event, or a list of sites of which none has an earlier day. */
export function isNew(): boolean {
  if (!view.value.site) return !!sites.value?.every(({ days }) => !days.slice(0, -1).some(Boolean));
  const first = facts.value?.first_event;
  return first != null && Date.now() / 1000 - first < NEW_SECONDS;
}
export const period = computed(() => view.value.period || firstPeriod(isYoung.value));
export const compare = computed(() => (view.value.compare === 'none' || period.value === 'all' ? '' : view.value.compare));

// Filters.

type Simple = [operator: string, dimension: string, values: string[]];

/** Tells whether a filter is one condition on one dimension, which a chip can show and a click on a row can set. */
export const isSimple = (filter: Filter): filter is Simple =>
  typeof filter[0] === 'string' && typeof filter[1] === 'string' && Array.isArray(filter[2]);

export const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Returns the filters with these too; one of the same dimension and operator is replaced. */
export function withFilters(...more: Simple[]): Filter[] {
  const kept = view.value.filters.filter(one => !isSimple(one) || !more.some(other => other[0] === one[0] && other[1] === one[1]));
  return [...kept, ...more];
}


// Tables.

export const tabOf = (group: string, first: string): string => view.value.tabs[group] ?? first;
export const showTab = (group: string, panel: string): void => go({ tabs: { ...view.value.tabs, [group]: panel } }, 'replace');
export const orderOf = (panel: string): Order | undefined => view.value.orders[panel];
export const sortBy = (panel: string, order: Order): void => go({ orders: { ...view.value.orders, [panel]: order } }, 'replace');
export const pickOf = (name: string, first: string): string => view.value.picks[name] ?? first;
export const pick = (name: string, value: string): void => go({ picks: { ...view.value.picks, [name]: value } }, 'replace');
