/*
 * Shows a site: what period, its totals, one chart, and the tables.
 */
import { useEffect, useState } from 'preact/hooks';
import { loadFacts, tick } from '../api';
import { facts, link, linkToSite, sites, view } from '../state';
import { Chart } from './Chart';
import { Details } from './Details';
import { Filters } from './Filters';
import { Kpis } from './Kpis';
import { Live } from './Live';
import { Check, Menu } from './Menu';
import { Picker } from './Picker';
import { Tables } from './Tables';

export function Site() {
  const { site, bots } = view.value;
  const [problem, setProblem] = useState('');
  useEffect(() => void loadFacts(site).then(setProblem), [site, tick.value]);
  if (problem && !facts.value) return <Unknown site={site} problem={problem} />;
  return (
    <div class="site">
      <div class="bar">
        <h1>{site}</h1>
        {(sites.value?.length ?? 0) > 1 && <SiteMenu />}
        <Live />
        <span class="space" />
        <Picker />
      </div>
      <Filters />
      {bots && <p class="notice">Bots are counted in. <a href={link({ bots: false })}>Leave them out</a></p>}
      <section class="card overview" aria-label="Overview">
        <Kpis />
        <Chart />
      </section>
      <Tables />
      <Details />
    </div>
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
      <p>
        <a href="#/">All sites</a>
      </p>
    </div>
  );
}
