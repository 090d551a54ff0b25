/*
 * Shows a site: the choice of the period, the totals, one chart, the tables, and the reports below them.
 */
import { useEffect, useState } from 'preact/hooks';
import { exportOf, loadFacts, tick } from '../api';
import { moment } from '../format';
import { LINK, showsToday } from '../shared';
import { facts, isQuiet, link, linkToSite, shownPeriod, sites, view } from '../state';
import { Chart } from './Chart';
import { Copied } from './Copied';
import { Details } from './Details';
import { Filters } from './Filters';
import { Kpis } from './Kpis';
import { Live } from './Live';
import { Check, Menu } from './Menu';
import { Picker } from './Picker';
import { Reports } from './Reports';
import { Setup } from './Setup';
import { Share } from './Sharing';
import { Tables } from './Tables';

export function Site() {
  const { site } = view.value;
  const [problem, setProblem] = useState('');
  useEffect(() => void loadFacts(site).then(setProblem), [site, tick.value]);
  if (problem && !facts.value) return <Unknown site={site} problem={problem} />;
  const isEmpty = facts.value !== null && facts.value.first_event === null;
  return (
    <div class="site">
      <div class="bar">
        <h1>{site}</h1>
        {(sites.value?.length ?? 0) > 1 && <SiteMenu />}
        {showsToday() && <Live />}
        <span class="space" />
        {facts.value?.may_change && <Share site={site} />}
        {isEmpty || <Picker />}
      </div>
      {isEmpty ? LINK ? <p class="notice">No event of this site came in the days that this link shows.</p> : <Setup facts={facts.value!} /> : <Numbers />}
    </div>
  );
}

function Numbers() {
  return (
    <>
      <Filters />
      {view.value.bots && <p class="notice">Bots are counted too. <a href={link({ bots: false })}>Leave them out</a></p>}
      <Quiet />
      <section class="card overview" aria-label="Overview">
        <Kpis />
        <Chart />
      </section>
      <Tables />
      <Reports />
      <p class="more">
        <a class="button" href={exportOf()} download>
          All tables as CSV, in one ZIP
        </a>
      </p>
      <Details />
    </>
  );
}

/** Says when the last event was, if the period has none; or that all that came in it may be bots', which are left out. */
function Quiet() {
  const last = facts.value?.last_event;
  if (!isQuiet.value || !last) return null;
  const zone = facts.value!.zone;
  const day = new Intl.DateTimeFormat('sv-SE', { timeZone: zone }).format(last * 1000);
  const shown = shownPeriod.value;
  if (shown && shown.since <= day && day <= shown.until && !view.value.bots)
    return (
      <p class="notice">
        No event of a person in this period. Bots are left out. <a href={link({ bots: true })}>Count them too</a>
      </p>
    );
  return (
    <p class="notice">
      No event in this period. The last one was on {moment(last, zone)}. <a href={link({ period: `${day},${day}`, interval: '' })}>Show that day</a>
    </p>
  );
}

/** Changes to another site. */
function SiteMenu() {
  const { site } = view.value;
  return (
    <Menu label="" name="Change to another site" kind="icon site-menu">
      {close => (
        <ul class="choices" aria-label="Sites">
          {(sites.value ?? []).map(({ name }) => (
            <li key={name}>
              <a href={linkToSite(name)} aria-current={name === site ? 'page' : undefined} onClick={close}>
                {name}
                {name === site && <Check />}
              </a>
            </li>
          ))}
          <li>
            <a href="#/" onClick={close}>
              All sites
            </a>
          </li>
        </ul>
      )}
    </Menu>
  );
}

function Unknown({ site, problem }: { site: string; problem: string }) {
  return (
    <div class="empty">
      <h1>{site}</h1>
      <p>{problem}</p>
      {!LINK && <Register site={site} />}
    </div>
  );
}

// What stands in a link that somebody was sent could be anything, and people paste commands into a shell.
const isNameOfSite = (name: string): boolean => /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,252}$/u.test(name);

function Register({ site }: { site: string }) {
  return (
    <>
      {isNameOfSite(site) && (
        <>
          <p class="muted">If it is your site, register it with this command, and it appears here within seconds:</p>
          <Copied text={`forebay site add ${site}`} what="the command" />
        </>
      )}
      <p>
        <a href="#/">All sites</a>
      </p>
    </>
  );
}
