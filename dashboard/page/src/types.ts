// What the server says to the page and the page to the server. dashboard/web/panels.py has the other side.
// Dates are local ones of the site (2026-03-01); moments are unix seconds.

export type Filter = unknown[]; // the grammar is in dashboard/catalogue/filters.py

export interface PanelRequest {
  site: string;
  panel: string; // a name in panels.py
  period: string; // realtime, day, yesterday, 7d, 28d, 91d, month, last_month, year, 12mo, all; or "2026-03-01,2026-03-31"
  compare?: '' | 'previous' | 'year' | 'weekdays' | string; // or two dates
  interval?: '' | 'hour' | 'day' | 'week' | 'month'; // '' lets the server choose
  filters?: Filter[];
  bots?: boolean;
  order?: [string, 'asc' | 'desc'][];
  limit?: number;
  offset?: number;
  with_total?: boolean; // of all rows: unless it is false
  parameters?: Record<string, string | number>; // of panels that have more: {name: "buy"} of a funnel, {unit: "week"} of retention
}

export interface Period {
  since: string;
  until: string;
  zone: string;
  interval: string;
  is_running: boolean;
}

export type Cell = string | number | null | Money[];

export interface Money {
  currency: string;
  value: string; // decimal text, never a float
}

export interface PanelAnswer {
  panel: string;
  columns: string[]; // dimensions, then numbers: ["source", "visitors", "visits", "bounce_rate", "visit_duration", "percentage"]
  rows: Cell[][];
  compared: (Cell[] | null)[] | null; // the same columns, in the order of rows
  total: number | null; // rows without limit
  period: Period;
  compared_period: Period | null;
  as_of: number;
  file: string; // the catalogue file(s) that answered
}

export interface Problem {
  error: string; // one sentence
}

export interface SiteInList {
  name: string;
  zone: string;
  visitors: number; // the last 24 hours
  pageviews: number;
  days: number[]; // pageviews of 28 UTC days, the last is today
}

export interface Goal {
  name: string;
}

export interface Funnel {
  name: string;
  steps: string[];
}

export interface Segment {
  id: number;
  name: string;
  filters: Filter[];
}

export interface Annotation {
  id: number;
  date: string;
  text: string;
}

export interface SiteFacts {
  name: string;
  zone: string;
  is_registered: boolean;
  may_change: boolean; // whoever looks is an admin of the site
  snippet: string;
  first_event: number | null;
  last_event: number | null;
  goals: Goal[];
  funnels: Funnel[];
  segments: Segment[];
  annotations: Annotation[];
  currencies: string[];
}

export interface Health {
  parts: { name: string; is_well: boolean; says: string }[]; // ingest, buffer, flusher, ClickHouse
  lag_seconds: number | null;
  last_event: number | null;
  rejected: { reason: string; explained: string; events: number; where: string; at: number }[]; // lately
}

export interface Viewer {
  name: string; // '' without a login
}

export type Hidden = 'properties' | 'users' | 'revenue';

/** What a public link shows, as whoever has it is told. */
export interface LinkFacts {
  site: string;
  hidden: Hidden[];
  since: string | null;
  until: string | null;
  days: number; // up to today; 0 for all
  within: string; // the days in words
}

/** A public link, as an admin of its site reads of it. */
export interface SharedLink {
  id: string;
  name: string;
  within: string;
  shows: Hidden[];
  has_password: boolean;
  made: number;
}
