/*
 * Is the dialog in which an admin of a site makes and revokes its public links.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, put } from '../api';
import { moment } from '../format';
import type { Hidden, SharedLink } from '../types';
import { sentence } from '../words';
import { Copied } from './Copied';
import { Dialog } from './Dialog';

const TICKS: [Hidden, string][] = [
  ['revenue', 'Revenue and campaigns'],
  ['properties', 'Properties, with targets of links and downloads, forms, and pages not found'],
  ['users', 'Retention, which is counted by user ids'],
];
const SHOWN: Record<Hidden, string> = { revenue: 'revenue', properties: 'properties', users: 'retention' };
const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])$/;

export function Share({ site }: { site: string }) {
  const [isOpen, open] = useState(false);
  return (
    <>
      <button type="button" class="button" onClick={() => open(true)}>
        Share
      </button>
      {isOpen && <Sharing site={site} close={() => open(false)} />}
    </>
  );
}

function Sharing({ site, close }: { site: string; close: () => void }) {
  const path = `/api/sites/${encodeURIComponent(site)}/links`;
  const [links, list] = useState<SharedLink[] | null>(null);
  const [made, make] = useState('');
  const [problem, fail] = useState('');
  const [isBusy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  /** Does something, and tells whether it was done. */
  const tried = async (act: () => Promise<void>): Promise<boolean> => {
    if (isBusy) return false;
    setBusy(true);
    try {
      await act();
      fail('');
      return true;
    } catch (error) {
      fail(sentence((error as Error).message));
      return false;
    } finally {
      setBusy(false);
    }
  };
  useEffect(() => void tried(async () => list(await ask<SharedLink[]>(path))), []);
  const add = (said: unknown) =>
    tried(async () => {
      const { address, ...link } = await put<SharedLink & { address: string }>(path, said);
      make(address);
      list([link, ...(links ?? [])]);
    });
  const revoke = async (id: string) => {
    if (await tried(async () => list(await put<SharedLink[]>(`${path}/${id}`, {}, 'DELETE')))) {
      if (made.includes(id)) make('');
      first.current?.focus(); // the button is gone
    }
  };
  return (
    <Dialog title={`Sharing ${site}`} kind="narrow" close={close}>
      <div class="fields">
        <p class="muted">Whoever has a public link sees the numbers of this site without a login, and changes nothing.</p>
        <p class="problem" role="alert" hidden={!problem}>
          {problem}
        </p>
        {made && <Made address={made} />}
        <New add={add} first={first} />
        {links?.length ? (
          <ul class="items" aria-label="Links" aria-live="polite">
            {links.map(link => (
              <li key={link.id}>
                <span>
                  {link.name || 'Without a name'}
                  <span class="muted"> {told(link)}</span>
                </span>
                <button type="button" class="button small" aria-label={`Revoke ${link.name || `the link of ${moment(link.made)}`}`} onClick={() => revoke(link.id)}>
                  Revoke
                </button>
              </li>
            ))}
          </ul>
        ) : (
          <p class="muted">{links ? 'There is no link to this site.' : ''}</p>
        )}
      </div>
    </Dialog>
  );
}

/** Returns what a link shows, in words. */
const told = ({ within, has_password, shows }: SharedLink): string =>
  [within, ...(has_password ? ['with a password'] : []), ...(shows.length ? ['shows ' + shows.map(one => SHOWN[one]).join(', ')] : [])].join('; ');

/** Shows the address of a link that was just made. */
function Made({ address }: { address: string }) {
  const isHere = LOOPBACK.test(new URL(address).hostname);
  return (
    <div class="made" role="status">
      <p>This address is shown only once:</p>
      <Copied text={address} what="the address" />
      {isHere && <p class="muted">Only this machine can open it, until the dashboard has an address of its own (dashboard_url).</p>}
    </div>
  );
}

type Days = 'all' | 'last' | 'between';

/** Asks for what a new link shows. */
function New({ add, first }: { add: (said: unknown) => Promise<boolean>; first: { current: HTMLInputElement | null } }) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [which, choose] = useState<Days>('all');
  const [days, setDays] = useState('30');
  const [since, setSince] = useState('');
  const [until, setUntil] = useState('');
  const [shows, show] = useState<Hidden[]>([]);
  const submit = async (event: Event) => {
    event.preventDefault();
    const bounds = which === 'last' ? { days: Number(days) } : which === 'between' ? { since: since || null, until: until || null } : {};
    if (await add({ name, password, shows, ...bounds })) (setName(''), setPassword(''));
  };
  return (
    <form class="new-link" onSubmit={submit}>
      <label>
        Name
        <input type="text" ref={first} maxLength={120} placeholder="Whom it is for" value={name} onInput={event => setName(event.currentTarget.value)} />
      </label>
      <label>
        Password
        <input type="password" autocomplete="new-password" placeholder="None" value={password} onInput={event => setPassword(event.currentTarget.value)} />
      </label>
      <label>
        Days
        <select value={which} onChange={event => choose(event.currentTarget.value as Days)}>
          <option value="all">All days</option>
          <option value="last">The last days</option>
          <option value="between">From one day to another</option>
        </select>
      </label>
      {which === 'last' && (
        <label>
          How many
          <input type="number" required min={1} max={3660} value={days} onInput={event => setDays(event.currentTarget.value)} />
        </label>
      )}
      {which === 'between' && (
        <div class="pair">
          <input type="date" aria-label="First day" value={since} max={until || undefined} onInput={event => setSince(event.currentTarget.value)} />
          <input type="date" aria-label="Last day" value={until} min={since || undefined} onInput={event => setUntil(event.currentTarget.value)} />
        </div>
      )}
      <fieldset>
        <legend>Show this too</legend>
        {TICKS.map(([what, title]) => (
          <label key={what} class="tick">
            <input
              type="checkbox"
              checked={shows.includes(what)}
              onChange={event => show(event.currentTarget.checked ? [...shows, what] : shows.filter(one => one !== what))}
            />
            {title}
          </label>
        ))}
      </fieldset>
      <div class="end">
        <button type="submit" class="button strong">
          Make a link
        </button>
      </div>
    </form>
  );
}
