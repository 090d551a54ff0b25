/*
 * Has the words of the page: the names of numbers, periods and dimensions. Countries and languages are named by the browser, in its language.
 */
import type { Cell, Filter } from './types';

export const METRICS: Record<string, string> = {
  visitors: 'Visitors',
  visits: 'Visits',
  pageviews: 'Pageviews',
  views_per_visit: 'Views per visit',
  bounce_rate: 'Bounce rate',
  visit_duration: 'Visit duration',
  events: 'Events',
  percentage: '%',
  exit_rate: 'Exit rate',
  conversion_rate: 'Conversion',
  conversions: 'Conversions',
  seconds_on_page: 'Time on page',
  time_on_page: 'Time on page',
  scroll_depth: 'Scroll depth',
  revenue: 'Revenue',
  purchases: 'Purchases',
  buyers: 'Buyers',
  samples: 'Measurements',
  people: 'People',
  total_revenue: 'Revenue',
  with_it: 'Events',
  it_alone: 'This reason alone',
  entry_pages: 'Entry pages',
  drop_off: 'Lost',
  lcp: 'LCP',
  inp: 'INP',
  cls: 'CLS',
  fcp: 'FCP',
  ttfb: 'TTFB',
};

/** Explains each number to a person who points at it. */
export const EXPLAINED: Record<string, string> = {
  visitors: 'Different people, counted anew each day',
  visits: 'How often people came. After half an hour without an event, a new visit begins',
  pageviews: 'How often pages were looked at',
  views_per_visit: 'Pageviews divided by visits',
  bounce_rate: 'Visits that saw one page, for less than ten seconds, and did nothing else',
  visit_duration: 'From the first event of a visit to its last, on average',
  events: 'Pageviews, and the events that your site sends by name',
};

export const DIMENSIONS: Record<string, string> = {
  page: 'Page',
  entry_page: 'Entry page',
  exit_page: 'Exit page',
  hostname: 'Host name',
  source: 'Source',
  channel: 'Channel',
  referrer: 'Referrer',
  utm_source: 'UTM source',
  utm_medium: 'UTM medium',
  utm_campaign: 'UTM campaign',
  utm_term: 'UTM term',
  utm_content: 'UTM content',
  country: 'Country',
  region: 'Region',
  city: 'City',
  language: 'Language',
  device: 'Device',
  screen: 'Screen',
  browser: 'Browser',
  browser_version: 'Browser version',
  os: 'System',
  os_version: 'System version',
  event: 'Event',
  goal: 'Goal',
  time: 'Time',
};

/** Columns that say what a row is, and that are not the name of a dimension. */
const NAMES: Record<string, string> = {
  path: 'Page',
  url: 'Address',
  property: 'Property',
  source_name: 'Assistant',
  bot_name: 'Crawler',
  bot_purpose: 'Purpose',
  word: 'Reason',
  meaning: 'Meaning',
  currency: 'Currency',
  bucket: 'Duration',
};

export const PERIODS: [period: string, title: string][] = [
  ['day', 'Today'],
  ['yesterday', 'Yesterday'],
  ['7d', 'Last 7 days'],
  ['28d', 'Last 28 days'],
  ['91d', 'Last 91 days'],
  ['month', 'This month'],
  ['last_month', 'Last month'],
  ['year', 'This year'],
  ['12mo', 'Last 12 months'],
  ['all', 'All time'],
];

export const COMPARISONS: [compare: string, title: string][] = [
  ['previous', 'Previous period'],
  ['year', 'Same dates a year before'],
  ['weekdays', 'Same weekdays a year before'],
  ['none', 'Nothing'],
];

export const INTERVALS: [interval: string, title: string][] = [
  ['hour', 'Hours'],
  ['day', 'Days'],
  ['week', 'Weeks'],
  ['month', 'Months'],
];

export const OPERATORS: Record<string, string> = {
  is: 'is',
  is_not: 'is not',
  contains: 'contains',
  contains_not: 'does not contain',
  matches_wildcard: 'is like',
  matches_wildcard_not: 'is not like',
  matches: 'matches the pattern',
  matches_not: 'does not match the pattern',
};

/** Groups the dimensions of filters as a person looks for them. */
export const GROUPS: [title: string, dimensions: string[]][] = [
  ['Pages', ['page', 'entry_page', 'exit_page', 'hostname']],
  ['Sources', ['source', 'channel', 'referrer', 'utm_source', 'utm_medium', 'utm_campaign', 'utm_content', 'utm_term']],
  ['Places', ['country', 'region', 'city', 'language']],
  ['Devices', ['device', 'browser', 'browser_version', 'os', 'os_version', 'screen']],
  ['Behaviour', ['goal', 'event', 'props.']],
];

const PANEL_OF: Record<string, string> = {
  page: 'pages',
  entry_page: 'entry_pages',
  exit_page: 'exit_pages',
  hostname: 'hostnames',
  source: 'sources',
  channel: 'channels',
  referrer: 'referrers',
  country: 'countries',
  region: 'regions',
  city: 'cities',
  language: 'languages',
  device: 'devices',
  screen: 'screens',
  browser: 'browsers',
  browser_version: 'browser_versions',
  os: 'systems',
  os_version: 'system_versions',
  event: 'events',
};

/** Returns the panel that has the values of a dimension. */
export const panelOf = (dimension: string): string | undefined => PANEL_OF[dimension] ?? (dimension.startsWith('utm_') ? dimension : undefined);

/** Tells whether a column names a row, rather than being a number of it. */
export const isName = (column: string): boolean => column in DIMENSIONS || column in NAMES || column.startsWith('props.');

export const headOf = (column: string): string =>
  METRICS[column] ?? DIMENSIONS[column] ?? NAMES[column] ?? (column.startsWith('props.') ? column.slice(6) : sentence(column.replaceAll('_', ' ')));

export const sentence = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function namesOf(type: 'region' | 'language'): (code: string) => string {
  let names: Intl.DisplayNames | undefined;
  return code => {
    try {
      names ??= new Intl.DisplayNames(navigator.languages?.length ? [...navigator.languages] : ['en'], { type });
      return names.of(code) ?? code;
    } catch {
      return code; // not a code at all
    }
  };
}

const country = namesOf('region');
const language = namesOf('language');

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
const PAIRS = LETTERS.flatMap(one => LETTERS.map(other => one + other));

/** Returns the filter that finds a text in a dimension as people see it: countries and languages by their names, not by their codes. */
export function holds(dimension: string, text: string): Filter {
  if (dimension !== 'country' && dimension !== 'language') return ['contains', dimension, [text], { case_sensitive: false }];
  const codes = dimension === 'country' ? PAIRS.map(pair => pair.toUpperCase()) : PAIRS;
  const found = codes.filter(code => valueOf(dimension, code) !== code && valueOf(dimension, code).toLowerCase().includes(text.toLowerCase()));
  return ['is', dimension, found.length ? found : [text]];
}

/** Writes the value of a dimension for people. */
export function valueOf(dimension: string, value: Cell | undefined): string {
  const text = String(value ?? '');
  if (dimension === 'country' && /^[A-Z]{2}$/.test(text)) return country(text);
  if (dimension === 'language' && /^[a-z]{2,3}\b/i.test(text)) return language(text);
  if (dimension === 'bucket') return DURATIONS[text] ?? text;
  return text || '(not set)';
}

/** Explains the words for values that are empty to a person who points at them. */
export const VALUES: Record<string, string> = {
  'Direct / None': 'Came from no other site: a typed address, a bookmark, or a link that does not say where it stands',
  '(not set)': 'Not known, or not given',
  '(none)': 'The event does not have this property',
};

/** Names the classes of visits by duration, each by its least number of seconds. */
const DURATIONS: Record<string, string> = {
  0: 'Less than a second',
  1: '1 to 9 seconds',
  10: '10 to 29 seconds',
  30: '30 to 59 seconds',
  60: '1 to 3 minutes',
  180: '3 to 10 minutes',
  600: '10 to 30 minutes',
  1800: '30 minutes and more',
};

/** Names panels whose title can't be made of their name. */
const PANELS: Record<string, string> = {
  utm_source: 'UTM source',
  utm_medium: 'UTM medium',
  utm_campaign: 'UTM campaign',
  utm_term: 'UTM term',
  utm_content: 'UTM content',
  not_found: 'Pages that were not found',
  page_times: 'Time on page',
  assistants: 'AI assistants',
  crawlers: 'AI crawlers',
  vitals: 'Web vitals',
  bots: 'Bots by reason',
  outbound: 'Outbound links',
  property: 'Values of the property',
};

export const titleOf = (panel: string): string => PANELS[panel] ?? sentence(panel.replaceAll('_', ' '));
