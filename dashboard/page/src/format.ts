/*
 * Writes numbers, durations, money and moments in the language of the browser. The numbers themselves are the server's.
 */
import type { Cell, Money } from './types';

const language = navigator.languages?.[0] ?? 'en';
/** Makes a format when it is first asked for: each costs a millisecond, and few pages ask for all of them. */
function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
const short = lazily(() => new Intl.NumberFormat(language, { notation: 'compact', maximumFractionDigits: 1 }));
const percent = lazily(() => new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 1 }));

export const number = (value: number): string => whole.format(value);
/** Writes 12.3K from ten thousand on. Beside it stands the whole number, in a title or a table. */
export const brief = (value: number): string => (Math.abs(value) < 10_000 ? whole : short()).format(value);
export const percentage = (value: number): string => percent().format(value / 100);

export function duration(seconds: number): string {
  const [total, parts] = [Math.round(seconds), [] as string[]];
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60)];
  if (hours) parts.push(`${whole.format(hours)}h`);
  if (minutes) parts.push(`${minutes}m`);
  if (!hours && (total % 60 || !minutes)) parts.push(`${total % 60}s`);
  return parts.join(' ');
}

/** Writes each currency by itself: they are never summed. The value is decimal text, which Intl reads without loss. */
export function money(values: Money[]): string {
  return values.map(one => amount(one)).join(' · ') || '–';
}

function amount({ currency, value }: Money): string {
  const exact = value as `${number}`;
  try {
    return new Intl.NumberFormat(language, { style: 'currency', currency }).format(exact);
  } catch {
    return `${value} ${currency}`; // no currency that Intl knows
  }
}

const IN_SECONDS = new Set(['visit_duration', 'seconds_on_page', 'time_on_page', 'seconds']);
const IN_PERCENT = new Set([
  'bounce_rate', 'exit_rate', 'percentage', 'conversion_rate', 'group_conversion_rate', 'scroll_depth', 'drop_off',
]);

const IN_MS = new Set(['lcp', 'inp', 'fcp', 'ttfb']);
const millisecond = lazily(() => new Intl.NumberFormat(language, { style: 'unit', unit: 'millisecond', unitDisplay: 'narrow', maximumFractionDigits: 0 }));
const second = lazily(() => new Intl.NumberFormat(language, { style: 'unit', unit: 'second', unitDisplay: 'narrow', maximumFractionDigits: 2 }));
const milliseconds = (value: number): string => (value < 1000 ? millisecond().format(value) : second().format(value / 1000));

/** Writes a number as what its column holds. */
export function cell(column: string, value: Cell | undefined, isBrief = false): string {
  if (value === null || value === undefined) return '–';
  if (Array.isArray(value)) return money(value);
  if (typeof value === 'string') return value;
  if (IN_SECONDS.has(column)) return duration(value);
  if (IN_PERCENT.has(column)) return percentage(value);
  if (IN_MS.has(column)) return milliseconds(value);
  return (isBrief ? brief : number)(value);
}

export interface Change {
  text: string; // '+12%', '−3 pts', '0%'
  arrow: '↑' | '↓' | '';
  isBetter: boolean | null; // null: neither better nor worse
}

const LESS_IS_BETTER = new Set(['bounce_rate', 'exit_rate']);

/** Compares as the Stats API does: in percent of the old number, rates in points; from nothing to something is 100%. */
export function change(column: string, now: Cell | undefined, before: Cell | undefined): Change | null {
  if (typeof now !== 'number' || typeof before !== 'number') return null;
  const isRate = IN_PERCENT.has(column);
  const difference = isRate ? round(now - before, 1) : before === 0 ? (now > 0 ? 100 : 0) : round(((now - before) / before) * 100, 0);
  const text = isRate ? `${whole.format(Math.abs(difference))} ${Math.abs(difference) === 1 ? 'pt' : 'pts'}` : percentage(Math.abs(difference));
  if (difference === 0) return { text: isRate ? '0 pts' : percentage(0), arrow: '', isBetter: null };
  return { text, arrow: difference > 0 ? '↑' : '↓', isBetter: difference > 0 !== LESS_IS_BETTER.has(column) };
}

/** Rounds half away from zero, as the server does. */
const round = (value: number, digits: number): number => (Math.sign(value) * Math.round(Math.abs(value) * 10 ** digits)) / 10 ** digits || 0;

// Dates and buckets. A date of the site is written as it is: no zone of the browser may move it.

const utc = (options: Intl.DateTimeFormatOptions) => lazily(() => new Intl.DateTimeFormat(language, { timeZone: 'UTC', ...options }));
const FULL_DAY = utc({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const SOME_DAY = utc({ weekday: 'short', day: 'numeric', month: 'short' });
const SHORT_DAY = utc({ day: 'numeric', month: 'short' });
const YEAR_DAY = utc({ day: 'numeric', month: 'short', year: 'numeric' });
const MONTH = utc({ month: 'short', year: 'numeric' });
const LONG_MONTH = utc({ month: 'long', year: 'numeric' });
const HOUR = utc({ hour: 'numeric', minute: '2-digit' });

/** Reads local text of the site (2026-03-01, 2026-03-01 13:00:00, with +02:00 behind an hour that comes twice). */
function local(text: string): Date | null {
  const found = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d))?/.exec(text);
  return found ? new Date(`${found[1]}T${found[2] ?? '00:00'}Z`) : null;
}

const offset = (text: string): string => / ?[+-]\d\d:?\d\d$/.exec(text.slice(11))?.[0].trim() ?? '';

/** Writes a bucket at an axis, where it stands among its neighbours. */
export function tickOf(bucket: Cell | undefined, interval: string): string {
  const date = local(String(bucket));
  if (!date) return String(bucket ?? '');
  if (interval === 'hour') return date.getUTCHours() === 0 ? SHORT_DAY().format(date) : HOUR().format(date);
  return (interval === 'month' ? MONTH : SHORT_DAY)().format(date);
}

/** Writes a bucket in full, where it does not stand among its neighbours. */
export function bucketOf(bucket: Cell | undefined, interval: string): string {
  const text = String(bucket ?? '');
  const date = local(text);
  if (!date) return text;
  if (interval === 'hour') return `${SOME_DAY().format(date)}, ${HOUR().format(date)}${offset(text) && ' ' + offset(text)}`;
  if (interval === 'month') return LONG_MONTH().format(date);
  return (interval === 'week' ? 'Week of ' : '') + FULL_DAY().format(date);
}

export function range(since: string, until: string): string {
  const [from, to] = [local(since), local(until)];
  if (!from || !to) return '';
  return since === until ? FULL_DAY().format(from) : YEAR_DAY().formatRange(from, to);
}

const moments = new Map<string, Intl.DateTimeFormat>();

/** Writes a moment (unix s) in the zone of the site. */
export function moment(at: number, zone?: string, options: Intl.DateTimeFormatOptions = { dateStyle: 'medium', timeStyle: 'short' }): string {
  const key = `${zone} ${JSON.stringify(options)}`;
  let format = moments.get(key);
  if (!format) {
    try {
      format = new Intl.DateTimeFormat(language, { timeZone: zone, ...options });
    } catch {
      format = new Intl.DateTimeFormat(language, options); // a zone that this browser does not know
    }
    moments.set(key, format);
  }
  return format.format(at * 1000);
}

const relative = lazily(() => new Intl.RelativeTimeFormat(language, { numeric: 'auto' }));

/** Writes how long ago a moment (unix s) was: "3 minutes ago". */
export function ago(at: number): string {
  const seconds = Math.round(at - Date.now() / 1000);
  const size = Math.abs(seconds);
  if (size < 90) return relative().format(seconds, 'second');
  if (size < 5_400) return relative().format(Math.round(seconds / 60), 'minute');
  if (size < 129_600) return relative().format(Math.round(seconds / 3_600), 'hour');
  return relative().format(Math.round(seconds / 86_400), 'day');
}
