/*
 * Reads what is shown from the address and writes it there: /#/example.com?period=7d&metric=visits&f=[["is","country",["DE"]]]
 *
 * The address is the whole state of the page, so a link shows another person the same, and Back goes one step back.
 * What has its default is left out. What can't be understood has its default too: an old or a damaged link still opens.
 * Pure: state.ts knows the browser.
 */
import type { Filter } from './types';

export type Order = [column: string, direction: 'asc' | 'desc'];

export interface View {
  site: string; // '' is the list of sites
  page: string; // '' is the numbers; else another page of the site, or of all: 'health', 'setup'
  period: string; // '' is the page's own choice
  compare: string; // 'previous' unless chosen; 'none' compares with nothing
  interval: string; // '' lets the server choose
  metric: string; // of the chart
  filters: Filter[];
  bots: boolean;
  detail: string; // the panel that is opened in full, '' is none
  tabs: Record<string, string>; // group of tables → panel
  orders: Record<string, Order>; // panel → its order
  picks: Record<string, string>; // what else was chosen, by name: funnel=buy, unit=week
}

export const EMPTY: View = {
  site: '',
  page: '',
  period: '',
  compare: 'previous',
  interval: '',
  metric: 'visitors',
  filters: [],
  bots: false,
  detail: '',
  tabs: {},
  orders: {},
  picks: {},
};

const TEXTS = ['page', 'period', 'compare', 'interval', 'metric', 'detail'] as const;

export function write(view: View): string {
  const query: string[] = [];
  const put = (key: string, value: string) => query.push(`${encode(key)}=${encode(value)}`);
  for (const key of TEXTS) if (view[key] !== EMPTY[key]) put(key, view[key]);
  if (view.filters.length) put('f', JSON.stringify(view.filters));
  if (view.bots) put('bots', '1');
  for (const [group, panel] of Object.entries(view.tabs)) put('tab.' + group, panel);
  for (const [panel, [column, direction]] of Object.entries(view.orders)) put('sort.' + panel, (direction === 'desc' ? '-' : '') + column);
  for (const [name, value] of Object.entries(view.picks)) put('pick.' + name, value);
  return `#/${encode(view.site)}${query.length ? '?' + query.join('&') : ''}`;
}

export function read(hash: string): View {
  const text = hash.replace(/^#?\/?/, '');
  const at = text.indexOf('?');
  const view: View = { ...EMPTY, filters: [], tabs: {}, orders: {}, picks: {}, site: decode(at < 0 ? text : text.slice(0, at)) };
  for (const part of at < 0 ? [] : text.slice(at + 1).split('&')) {
    const equals = part.indexOf('=');
    if (equals > 0) take(view, decode(part.slice(0, equals)), decode(part.slice(equals + 1)));
  }
  return view;
}

function take(view: View, key: string, value: string): void {
  const text = TEXTS.find(name => name === key);
  const dot = key.indexOf('.');
  const [kind, name] = [key.slice(0, Math.max(dot, 0)), key.slice(dot + 1)];
  if (text) view[text] = value;
  else if (key === 'f') view.filters = filtersOf(value);
  else if (key === 'bots') view.bots = value === '1';
  else if (kind === 'tab') own(view.tabs, name, value);
  else if (kind === 'sort') own(view.orders, name, value[0] === '-' ? [value.slice(1), 'desc'] : [value, 'asc']);
  else if (kind === 'pick') own(view.picks, name, value);
}

/** Sets a key that a link names, `__proto__` too. */
function own<T>(of: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(of, name, { value, writable: true, enumerable: true, configurable: true });
}

function filtersOf(text: string): Filter[] {
  try {
    const found: unknown = JSON.parse(text);
    return Array.isArray(found) ? found.filter(one => Array.isArray(one)) : [];
  } catch {
    return [];
  }
}

/** Escapes what an address can't hold, and leaves the rest readable. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/%(?:2C|3A|2F|20)/g, found => (found === '%20' ? '+' : decodeURIComponent(found)));
}

function decode(text: string): string {
  const spaced = text.replace(/\+/g, ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
