/*
 * Draws a line of numbers over time. One point is in the order of Tab, the arrow keys move among them, and each says what it is.
 * The line of the other period is dashed, and so is the last piece of the line while its bucket is still running.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { cell, tickOf } from '../format';
import { labelled, lines, path, type Point } from '../scale';

const [HEIGHT, TOP, BOTTOM] = [280, 12, 26];
const POINTS_MAX = 400; // of more, only the one that has the focus is in the page

export interface Dot {
  bucket: string; // as the server gives it
  name: string; // written in full
  value: number | null; // null: nothing to show
  before: number | null;
  beforeName: string; // the bucket that it is compared with, written in full
  notes: string[];
}

interface Props {
  dots: Dot[];
  column: string;
  kind: Parameters<typeof lines>[1];
  interval: string;
  sentence: string; // what the chart shows
  nowAt: number; // index of the bucket that is still running, or -1
  active: number; // index of the point under the pointer or with the focus, or -1
  activate: (index: number) => void;
  choose: (index: number) => void;
}

export function Plot({ dots, column, kind, interval, sentence, nowAt, active, activate, choose }: Props) {
  const svg = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(entries => setWidth(Math.round(entries[0]!.contentRect.width)));
    watch.observe(svg.current!.parentElement!);
    return () => watch.disconnect();
  }, []);
  const [home, setHome] = useState(dots.length - 1); // the point that Tab comes to
  const stop = Math.min(home, dots.length - 1);

  const values = dots.flatMap(dot => [dot.value ?? 0, dot.before ?? 0]);
  const levels = lines(values.reduce((most, value) => Math.max(most, value), 0), kind);
  const left = Math.max(...levels.map(level => cell(column, level, true).length)) * 7.5 + 12;
  const x = (index: number) => (dots.length < 2 ? (left + width) / 2 : left + 4 + (index / (dots.length - 1)) * (width - left - 12));
  const y = (value: number) => TOP + (1 - value / levels.at(-1)!) * (HEIGHT - TOP - BOTTOM);
  const place = (value: number | null, index: number): Point => (value === null ? null : { x: x(index), y: y(value) });
  const now: Point[] = dots.map((dot, index) => place(dot.value, index));
  const over = nowAt < 0 ? now : now.slice(0, Math.max(nowAt, 0));
  const base = HEIGHT - BOTTOM;

  const move = (event: KeyboardEvent, index: number) => {
    const target = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: dots.length - 1 }[event.key];
    if (event.key === 'Enter') choose(index);
    if (target === undefined) return;
    event.preventDefault();
    const next = Math.min(Math.max(target, 0), dots.length - 1);
    setHome(next);
    requestAnimationFrame(() => svg.current?.querySelector<SVGElement>(`[data-at="${next}"]`)?.focus());
  };
  const nearest = (event: PointerEvent) => {
    const box = svg.current!.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    activate(Math.min(Math.max(Math.round(((at - left - 4) / Math.max(width - left - 12, 1)) * (dots.length - 1)), 0), dots.length - 1));
  };

  return (
    <svg
      ref={svg}
      class="plot"
      viewBox={`0 0 ${width || 1} ${HEIGHT}`}
      role="group"
      aria-label={sentence}
      onPointerMove={nearest}
      onPointerDown={nearest}
      onPointerLeave={() => activate(-1)}
      onClick={() => active >= 0 && choose(active)}
    >
      {width > 0 && (
        <>
          <defs>
            <linearGradient id="wash" x2="0" y2="1">
              <stop class="stop" />
              <stop class="stop end" offset="1" />
            </linearGradient>
          </defs>
          <g class="axes" aria-hidden="true">
            {levels.map(level => (
              <g key={level}>
                <line x1={left} x2={width} y1={y(level)} y2={y(level)} />
                <text x={left - 8} y={y(level) + 4} text-anchor="end">
                  {cell(column, level, true)}
                </text>
              </g>
            ))}
            {labelled(dots.map(dot => dot.bucket), interval, (width - left) / 76).map(index => (
              <text key={index} x={x(index)} y={HEIGHT - 6} text-anchor={anchor(x(index), left, width)}>
                {tickOf(dots[index]!.bucket, interval)}
              </text>
            ))}
          </g>
          <path class="before" d={path(dots.map((dot, index) => place(dot.before, index)))} />
          <Area points={over} base={base} />
          <path class="line" d={path(over)} />
          {nowAt > 0 && <path class="line unfinished" d={path([now[nowAt - 1] ?? null, now[nowAt] ?? null])} />}
          {active >= 0 && <line class="cross" x1={x(active)} x2={x(active)} y1={TOP} y2={base} />}
          {dots.map((dot, index) => dot.notes.length > 0 && <path key={index} class="note" d={`M${x(index)} ${base}l5 8h-10z`} />)}
          {dots.map((dot, index) => {
            const point = now[index] ?? { x: x(index), y: base };
            const isThere = dots.length <= POINTS_MAX || index === stop;
            const isShown = index === active || dots.length === 1 || (now[index] && !now[index - 1] && !now[index + 1]);
            return (
              isThere && (
                <circle
                  key={index}
                  class={isShown ? 'point shown' : 'point'}
                  data-at={index}
                  cx={point.x}
                  cy={point.y}
                  r="4"
                  role="img"
                  tabIndex={index === stop ? 0 : -1}
                  aria-label={spoken(dot, column)}
                  onFocus={() => (setHome(index), activate(index))}
                  onBlur={() => activate(-1)}
                  onKeyDown={event => move(event, index)}
                />
              )
            );
          })}
        </>
      )}
    </svg>
  );
}

/** Fills what is below the line, piece by piece where the line is broken. */
function Area({ points, base }: { points: Point[]; base: number }) {
  const known = points.filter(point => point !== null);
  if (known.length < 2 || known.length < points.length) return null;
  return <path class="area" fill="url(#wash)" d={`${path(points)}L${known.at(-1)!.x} ${base}L${known[0]!.x} ${base}Z`} />;
}

const anchor = (x: number, left: number, width: number) => (x < left + 24 ? 'start' : x > width - 40 ? 'end' : 'middle');

const spoken = (dot: Dot, column: string): string =>
  [`${dot.name}: ${cell(column, dot.value)}`, dot.before === null ? '' : `${dot.beforeName}: ${cell(column, dot.before)}`, ...dot.notes].filter(Boolean).join(', ');
