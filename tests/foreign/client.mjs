// Drives the npm package `salesforce-pubsub-api-client` against the address in its first argument (JSON), and prints
// what it saw as one JSON line: a published event's result, and the events of both topics, decoded by the package.

import PubSubApiClient from 'salesforce-pubsub-api-client';

const { pubSubEndpoint, loginUrl, clientId, clientSecret, changes } = JSON.parse(process.argv[2]);
const silent = { debug() {}, info() {}, warn: console.error, error: console.error };
const client = new PubSubApiClient(
    {
        authType: 'oauth-client-credentials',
        loginUrl,
        clientId,
        clientSecret,
        pubSubEndpoint,
        rejectUnauthorizedSsl: false
    },
    silent
);

function events(subscribe, count) {
    return new Promise((resolve, reject) => {
        const seen = [];
        subscribe((_subscription, type, data) => {
            if (type === 'event') seen.push(data);
            if (type === 'error') reject(data);
            if (seen.length === count) resolve(seen);
        }, count);
    });
}

await client.connect();
const published = await client.publish(
    '/event/Order_Shipped__e',
    {
        CreatedDate: 1700000000000,
        CreatedById: '005SB0000000001AAA',
        Order_Number__c: { string: 'O-1' },
        Carrier__c: null,
        Weight__c: { double: 2.5 },
        Express__c: { boolean: true },
        Shipped_At__c: null,
        Due_Date__c: null,
        Notes__c: null
    },
    'from-node'
);
const accounts = await events(
    (callback, count) => client.subscribeFromEarliestEvent('/data/ChangeEvents', callback, count),
    changes
);
const resumed = await events(
    (callback, count) =>
        client.subscribeFromReplayId('/data/AccountChangeEvent', callback, count, accounts[0].replayId),
    changes - 1
);
const shipped = await events(
    (callback, count) => client.subscribeFromEarliestEvent('/event/Order_Shipped__e', callback, count),
    1
);
const plain = (_key, value) => (typeof value === 'bigint' ? value.toString() : value);
console.log(JSON.stringify({ published, accounts, resumed, shipped }, plain));
client.close();
process.exit(0);
