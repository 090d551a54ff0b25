/*
 * Puts the tables of a site together: four cards of what every site has.
 */
import { Tabs, type Tab } from './Tabs';

const of = (panel: string, title: string, columns?: string[]): Tab => ({ panel, title, columns });

const UTM: Tab['others'] = [
  ['utm_campaign', 'Campaign'],
  ['utm_source', 'UTM source'],
  ['utm_medium', 'UTM medium'],
  ['utm_content', 'UTM content'],
  ['utm_term', 'UTM term'],
];
const SOURCES = [of('sources', 'Sources'), of('channels', 'Channels'), of('referrers', 'Referrers'), { ...of('utm_campaign', 'Campaigns'), others: UTM }];
const PAGES = [
  of('pages', 'Pages', ['visitors', 'pageviews']),
  of('entry_pages', 'Entry', ['visitors', 'bounce_rate']),
  of('exit_pages', 'Exit', ['visitors', 'exit_rate']),
  of('page_times', 'Time', ['time_on_page', 'scroll_depth']),
  of('hostnames', 'Host names', ['visitors', 'pageviews']),
];
const PLACES = [of('countries', 'Countries'), of('regions', 'Regions'), of('cities', 'Cities'), of('languages', 'Languages')];
const BROWSERS: Tab['others'] = [
  ['browsers', 'Browser'],
  ['browser_versions', 'Version'],
];
const SYSTEMS: Tab['others'] = [
  ['systems', 'System'],
  ['system_versions', 'Version'],
];
const DEVICES = [
  of('devices', 'Devices'),
  { ...of('browsers', 'Browsers'), others: BROWSERS },
  { ...of('systems', 'Systems'), others: SYSTEMS },
  of('screens', 'Screens'),
];

export function Tables() {
  return (
    <div class="grid two">
      <Tabs group="acquisition" title="Sources" tabs={SOURCES} />
      <Tabs group="pages" title="Pages" tabs={PAGES} />
      <Tabs group="places" title="Places" tabs={PLACES} />
      <Tabs group="devices" title="Devices" tabs={DEVICES} />
    </div>
  );
}
