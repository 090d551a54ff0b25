/*
 * Knows the rows of each panel: which columns name a row, which filter a click on it sets, and whether it can be sorted. It also knows
 * which parameters a panel is asked with.
 */
import { facts, pickOf, view } from './state';
import type { Cell, PanelAnswer, PanelRequest } from './types';
import { isName } from './words';

type Simple = [operator: string, dimension: string, values: string[]];

interface Kind {
  above?: string; // a column that only explains the name of a row
  by?: Record<string, string>; // column → dimension that it is filtered by; else each column is one, unless it is here
  isFixed?: boolean; // the rows have an order of their own
}

const PLAIN = { by: {} };
const KINDS: Record<string, Kind> = {
  not_found: { above: 'referrer', by: { path: 'page' } },
  outbound: { by: { url: 'props.url' } },
  downloads: { by: { url: 'props.url' } },
  forms: PLAIN,
  assistants: { by: { source_name: 'source' } },
  crawlers: PLAIN,
  bots: { ...PLAIN, above: 'meaning', isFixed: true },
  durations: { ...PLAIN, isFixed: true },
  revenue: { by: { country: 'country', device: 'device', page: 'page', event: 'event' }, above: 'currency', isFixed: true },
};

/** Returns the columns that name a row, the one that is its name last. */
export function namesOf(panel: string, columns: string[]): string[] {
  const names = columns.filter(isName);
  const above = KINDS[panel]?.above;
  return above && names.length > 1 ? [above, ...names.filter(name => name !== above)] : names;
}

/** Returns the dimension that a column of a panel is filtered by, '' for none. */
export function filteredBy(panel: string, column: string): string {
  const by = KINDS[panel]?.by;
  return by ? (by[column] ?? '') : column;
}

/** Returns the filters that a click on a row sets; none if its panel has no such filter. */
export function filtersOf(panel: string, names: string[], values: (Cell | undefined)[]): Simple[] {
  const own: Simple[] = panel === 'property' ? [['is', 'event', [pickOf('event', '')]]] : [];
  const found = names.map((name, at): Simple => ['is', filteredBy(panel, name), [String(values[at] ?? '')]]);
  return [...own, ...found].filter(([, dimension]) => dimension);
}

/** Returns a number of a row. Money that has its currency in a column of its own is put together with it. */
export function valueIn(answer: PanelAnswer, row: Cell[], column: string): Cell | undefined {
  const value = row[answer.columns.indexOf(column)];
  const currency = answer.columns.indexOf('currency');
  return column === 'revenue' && typeof value === 'string' && currency >= 0 ? [{ currency: String(row[currency]), value }] : value;
}

/** Returns rows as a person reads them: those of most purchases first, because money of several currencies has no order. */
export function ordered(panel: string, answer: PanelAnswer): Cell[][] {
  const at = answer.columns.indexOf('purchases');
  return panel === 'revenue' ? answer.rows.toSorted((one, other) => Number(other[at]) - Number(one[at])) : answer.rows;
}

/** Tells whether the server gives rows page by page. */
export const isPaged = (panel: string): boolean => !KINDS[panel]?.isFixed;

// Money of several currencies has no order.
export const isSorted = (panel: string, column: string): boolean => !KINDS[panel]?.isFixed && !column.endsWith('revenue');

/** Returns the parameters of a panel, as they were chosen on the page. */
export function askedOf(panel: string): Partial<PanelRequest> {
  switch (panel) {
    case 'properties':
      return { parameters: { name: pickOf('event', '') } };
    case 'property':
      return { parameters: { property: pickOf('property', '') }, filters: [...view.value.filters, ['is', 'event', [pickOf('event', '')]]] };
    case 'funnel':
      return { parameters: { name: pickOf('funnel', facts.value?.funnels[0]?.name ?? '') } };
    case 'retention':
      return { parameters: { unit: pickOf('unit', 'week') } };
    case 'vitals':
      return { parameters: { dimension: pickOf('vitals', 'page') } };
    case 'revenue':
      return { parameters: { dimension: pickOf('revenue', '') } };
    default:
      return {};
  }
}
