// Asks ClickHouse through @clickhouse/client and prints what it found as JSON: node main.mjs URL

import {createClient} from '@clickhouse/client';

const url = process.argv[2];
const client = createClient({url});
const found = {};

async function rows(query, options = {}) {
  const answer = await client.query({query, format: 'JSONEachRow', ...options});
  return answer.json();
}

async function refusal(promise) {
  try {
    await promise;
    return '';
  } catch (error) {
    return `${error.code} ${error.type} ${error.message}`;
  }
}

found.ping = (await client.ping()).success;
await client.command({query: 'CREATE TABLE js_rows (n UInt64, name String, props Map(String, String)) ENGINE = MergeTree ORDER BY n'});
await client.insert({
  table: 'js_rows',
  values: Array.from({length: 20000}, (_, n) => ({n, name: `name ${n}`, props: {plan: 'pro'}})),
  format: 'JSONEachRow',
});
found.row = (await rows('SELECT n, name, props FROM js_rows WHERE n = {n:UInt64}', {query_params: {n: 7}}))[0];
found.json = await (await client.query({query: 'SELECT 1 AS one', format: 'JSON'})).json();
const stream = (await client.query({query: 'SELECT n FROM js_rows', format: 'JSONCompactEachRow'})).stream();
found.streamed = 0;
for await (const some of stream) {
  found.streamed += some.length;
}
const csv = await client.exec({query: 'SELECT 1 AS a, 2 AS b FORMAT CSVWithNames'});
found.csv = '';
for await (const chunk of csv.stream) {
  found.csv += chunk;
}
found.refused = await refusal(rows('SELECT * FROM nowhere'));

const session = createClient({url, session_id: 'js', compression: {request: true, response: true}});
await session.command({query: 'CREATE TEMPORARY TABLE kept (n UInt8)'});
await session.insert({table: 'kept', values: [{n: 1}, {n: 2}], format: 'JSONEachRow'});
found.kept = await (await session.query({query: 'SELECT sum(n) AS s FROM kept', format: 'JSONEachRow'})).json();
found.elsewhere = await refusal(rows('SELECT * FROM kept'));
const stranger = createClient({url, username: 'reporting', password: 'secret'});
found.stranger = await refusal(stranger.query({query: 'SELECT 1'}));
await client.command({query: 'DROP TABLE js_rows'});
await Promise.all([client.close(), session.close(), stranger.close()]);
console.log(JSON.stringify(found));
