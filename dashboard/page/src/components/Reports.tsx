/*
 * Puts together the reports below the tables: goals and events, funnels, revenue, web vitals, retention, links, AI and bots.
 */
import { isClosed } from '../shared';
import { BotSeries } from './Bots';
import { Do } from './Card';
import { Events } from './Events';
import { Funnel } from './Funnel';
import { Goals } from './Goals';
import { Retention } from './Retention';
import { Campaigns, Revenue } from './Revenue';
import { Tabs, type Tab } from './Tabs';
import { Vitals } from './Vitals';

const code = (why: string, text: string) => (
  <Do what="the code" text={text}>
    {why}
  </Do>
);

const LINKS: Tab[] = [
  {
    panel: 'outbound',
    title: 'Outbound',
    columns: ['visitors', 'events'],
    nothing: code('Call this when somebody follows a link to another site:', "forebay('Outbound Link: Click', {url: link.href})"),
  },
  {
    panel: 'downloads',
    title: 'Downloads',
    columns: ['visitors', 'events'],
    nothing: code('Call this when somebody downloads a file:', "forebay('File Download', {url: link.href})"),
  },
  {
    panel: 'forms',
    title: 'Forms',
    columns: ['visitors', 'events'],
    nothing: code('Call this when a form is sent:', "forebay('Form: Submission', {path: location.pathname, form: 'contact'})"),
  },
  {
    panel: 'not_found',
    title: 'Not found',
    columns: ['visitors', 'events'],
    nothing: code('Call this on the page that your site shows for addresses that do not exist:', "forebay('404', {path: location.pathname})"),
  },
];
const AI: Tab[] = [
  { panel: 'assistants', title: 'Assistants', columns: ['visitors', 'entry_pages'], nothing: <p>No visit is known to have come from an AI assistant.</p> },
  { panel: 'crawlers', title: 'Crawlers', columns: ['events', 'pages'], nothing: <p>No known AI crawler came.</p> },
];
const BOTS: Tab[] = [
  { panel: 'bot_series', title: 'Over time', draw: isSeen => <BotSeries isSeen={isSeen} /> },
  { panel: 'bots', title: 'By reason', columns: ['with_it', 'it_alone'], nothing: <p>Nothing looked automated.</p> },
];
const VISITS: Tab[] = [{ panel: 'durations', title: 'Visits by duration', columns: ['visits'] }];

export function Reports() {
  const links = LINKS.filter(tab => !isClosed(tab.panel));
  return (
    <div class="reports">
      <div class="grid two">
        <Goals />
        <Events />
      </div>
      <Funnel />
      <div class="grid two">
        {isClosed('revenue') || <Revenue />}
        {isClosed('campaigns') || <Campaigns />}
      </div>
      <Vitals />
      {isClosed('retention') || <Retention />}
      <div class="grid two">
        {links.length > 0 && <Tabs group="links" title="Links and forms" tabs={links} />}
        <Tabs group="ai" title="AI" tabs={AI} />
        <Tabs group="bots" title="Bots" tabs={BOTS} />
        <Tabs group="durations" title="Visits by duration" tabs={VISITS} />
      </div>
    </div>
  );
}
