/*
 * Is the line at the top: links to the list of sites, to health and to one's account, none of which a public link has, and the choice of light or dark.
 */
import { useEffect } from 'preact/hooks';
import { loadViewer, viewer } from '../api';
import { LINK } from '../shared';
import { link, view } from '../state';
import { theme, type Theme } from '../theme';
import { EMPTY } from '../url';
import { Choices, Menu } from './Menu';

const THEMES: [Theme, string][] = [
  ['system', 'Same as the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

export function Header() {
  useEffect(() => void (LINK || loadViewer()), []);
  return (
    <header class="top">
      <nav aria-label="Dashboard">
        {LINK ? (
          <span class="brand">
            <Mark />
            Forebay
          </span>
        ) : (
          <a class="brand" href="#/" aria-label="Forebay: all sites">
            <Mark />
            <span>Forebay</span>
          </a>
        )}
        <span class="space" />
        {!LINK && (
          <a class="quiet" href={link({ ...EMPTY, page: 'health' })} aria-current={view.value.page === 'health' ? 'page' : undefined}>
            Health
          </a>
        )}
        {viewer.value.name && (
          <a class="quiet" href="/account" title={viewer.value.name}>
            Account
          </a>
        )}
        <Menu label={<Sun />} name="Light or dark" kind="icon" align="right">
          {close => (
            <Choices title="Appearance" options={THEMES} chosen={theme.value} choose={value => ((theme.value = value as Theme), close())} />
          )}
        </Menu>
      </nav>
    </header>
  );
}

/** Draws a basin with its water. */
const Mark = () => (
  <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
    <path class="basin" d="M3 4v11a5 5 0 0 0 5 5h8a5 5 0 0 0 5-5V4" />
    <path class="water" d="M3 11c3-2.4 6-2.4 9 0s6 2.4 9 0v4a5 5 0 0 1-5 5H8a5 5 0 0 1-5-5z" />
  </svg>
);

const Sun = () => (
  <svg class="sun" viewBox="0 0 20 20" aria-hidden="true">
    <circle cx="10" cy="10" r="7" />
    <path d="M10 3a7 7 0 0 1 0 14z" />
  </svg>
);
