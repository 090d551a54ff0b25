/*
 * Chooses the labels on the axes of a chart. Pure.
 */
import type { Cell } from './types';

const ROUND = [1, 2, 2.5, 5, 10];
const ROUND_SECONDS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800];
const LINES_MAX = 4;

/** Returns the values at which lines stand: from 0 to at least `most`, at round numbers. */
export function lines(most: number, kind: 'number' | 'seconds' | 'percent' | 'whole'): number[] {
  if (kind === 'percent' && most > 50) return [0, 25, 50, 75, 100];
  const top = Math.max(most, kind === 'seconds' ? 20 : kind === 'percent' ? 4 : 1);
  const size = 10 ** Math.floor(Math.log10(top / LINES_MAX));
  const steps = kind === 'seconds' ? ROUND_SECONDS : ROUND.map(step => step * size);
  const fits = (step: number) => top / step <= LINES_MAX && (kind !== 'whole' || Number.isInteger(step));
  const step = steps.find(fits) ?? Math.ceil(top / LINES_MAX);
  return Array.from({ length: Math.ceil(top / step) + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

// How far labels may stand apart, in buckets: as people count days, weeks and months.
const APART: Record<string, number[]> = {
  day: [1, 2, 7, 14, 28, 56, 91, 182],
  week: [1, 2, 4, 8, 13, 26, 52],
  month: [1, 2, 3, 6, 12, 24, 60],
};
const HOURS_APART = [1, 2, 3, 4, 6, 12, 24];

/** Returns at which buckets a label stands, when there is room for `fit` of them. Hours are counted from midnight, whatever the clocks do. */
export function labelled(buckets: string[], interval: string, fit: number): number[] {
  const room = Math.max(fit, 1);
  const all = buckets.map((_, index) => index);
  const every = (found: number[], apart: number) => found.filter((_, index) => index % apart === 0);
  if (interval !== 'hour') return every(all, APART[interval]?.find(apart => all.length / apart <= room) ?? Math.ceil(all.length / room));
  for (const apart of HOURS_APART) {
    const found = all.filter(index => Number(buckets[index]!.slice(11, 13)) % apart === 0);
    if (found.length <= room) return found;
  }
  const midnights = all.filter(index => buckets[index]!.slice(11, 13) === '00');
  return every(midnights, Math.ceil(midnights.length / room));
}

export type Point = { x: number; y: number } | null;

/** Writes points as a path; a point that is missing breaks the line. */
export function path(points: Point[]): string {
  let isPen = false;
  let text = '';
  for (const point of points) {
    if (point) text += `${isPen ? 'L' : 'M'}${point.x.toFixed(1)} ${point.y.toFixed(1)}`;
    isPen = point !== null;
  }
  return text;
}

/** Returns the index of the bucket that has the moment `at` (unix s) in it, or of none (-1) if all are over or not begun. */
export function running(buckets: (Cell | undefined)[], at: number, zone: string): number {
  const text = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' }).format(at * 1000);
  return buckets.findLastIndex(bucket => String(bucket).slice(0, 19) <= text);
}

/** Returns the days of a bucket that begins on a date, as a period; '' for an hour. */
export function periodOf(bucket: Cell | undefined, interval: string): string {
  const since = String(bucket).slice(0, 10);
  const date = new Date(since + 'T00:00Z');
  if (interval === 'hour' || Number.isNaN(date.getTime())) return '';
  if (interval === 'week') date.setUTCDate(date.getUTCDate() + 6 - ((date.getUTCDay() + 6) % 7));
  if (interval === 'month') date.setUTCMonth(date.getUTCMonth() + 1, 0);
  return `${since},${date.toISOString().slice(0, 10)}`;
}
