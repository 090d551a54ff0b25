/*
 * Lists the sites, each with a line of its last 28 days.
 */
import { useEffect, useState } from 'preact/hooks';
import { loadSites, sitesProblem } from '../api';
import { brief, number } from '../format';
import { go, linkToSite, sites } from '../state';
import type { SiteInList } from '../types';
import { Copied } from './Copied';

const SEARCHED_FROM = 9; // below that a glance is quicker

export function Sites() {
  const [text, search] = useState('');
  const all = sites.value;
  if (!all) return <div class="sites loading" aria-busy={!sitesProblem.value}>{sitesProblem.value && <p class="problem">{sitesProblem.value}</p>}</div>;
  if (!all.length) return <NoSite />;
  const found = all.filter(site => site.name.includes(text.trim().toLowerCase())).sort((a, b) => b.visitors - a.visitors || (a.name < b.name ? -1 : 1));
  return (
    <div class="sites">
      <div class="bar">
        <h1>Sites</h1>
        <span class="space" />
        {all.length >= SEARCHED_FROM && (
          <input type="search" aria-label="Find a site" placeholder="Find a site" value={text} onInput={event => search(event.currentTarget.value)} />
        )}
      </div>
      <ul class="grid">
        {found.map(site => (
          <li key={site.name}>
            <SiteCard site={site} />
          </li>
        ))}
      </ul>
      {!found.length && <p class="empty">No site has “{text}” in its name.</p>}
      <div class="another">
        <p class="muted">To measure another site, register it. The command prints the snippet for its pages:</p>
        <Copied text="forebay site add example.com" what="the command" />
      </div>
    </div>
  );
}

function SiteCard({ site }: { site: SiteInList }) {
  return (
    <a class="card site-card" href={linkToSite(site.name)}>
      <h2>{site.name}</h2>
      <Spark days={site.days} />
      <p>
        <span>
          <strong title={number(site.visitors)}>{brief(site.visitors)}</strong> {site.visitors === 1 ? 'visitor' : 'visitors'}
          <span class="unseen"> in the last 24 hours</span>
        </span>
        <span class="muted">{site.days.some(Boolean) || site.pageviews ? 'last 24 hours' : 'nothing in 28 days'}</span>
      </p>
    </a>
  );
}

const [WIDTH, HEIGHT] = [280, 56];

/** Draws a line of days, dashed to today, which is not over. It is an ornament: the numbers stand below it. */
function Spark({ days }: { days: number[] }) {
  const most = Math.max(...days, 1);
  const at = (value: number, day: number) => `${((day / Math.max(days.length - 1, 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 2 - (value / most) * (HEIGHT - 6)).toFixed(1)}`;
  const points = days.map(at);
  const line = 'M' + points.slice(0, -1).join('L');
  const over = (((days.length - 2) / (days.length - 1)) * WIDTH).toFixed(1);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="area" d={`${line}L${over} ${HEIGHT}L0 ${HEIGHT}Z`} />
      <path class="line" d={line} />
      <path class="line unfinished" d={'M' + points.slice(-2).join('L')} />
    </svg>
  );
}

/** Asks for the domain of the first site, and checks every two seconds whether a site has appeared. */
function NoSite() {
  const [name, type] = useState('');
  useEffect(() => {
    const timer = setInterval(() => document.hidden || void loadSites(), 2_000);
    return () => clearInterval(timer);
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    const host = name.trim().toLowerCase().replace(/^https?:\/\//, '').replace(/\/.*$/, '');
    if (host) go({ site: host });
  };
  return (
    <div class="empty">
      <h1>No site yet</h1>
      <p>Which site do you want to measure? Type the domain of its pages.</p>
      <form class="ask" onSubmit={submit}>
        <input type="text" required aria-label="Domain of the site" placeholder="example.com" value={name} onInput={event => type(event.currentTarget.value)} />
        <button type="submit" class="button strong">
          Show its snippet
        </button>
      </form>
      <p class="muted">If your installation takes events of registered sites only, register it first:</p>
      <Copied text={`forebay site add ${name.trim() || 'example.com'}`} what="the command" />
    </div>
  );
}
