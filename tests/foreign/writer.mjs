// Drives the npm package `jsforce` against the address in its first argument (JSON): every way that it has to write,
// and reading back. Prints what it saw as one JSON line.

import jsforce from 'jsforce';

const { instanceUrl, accessToken } = JSON.parse(process.argv[2]);
const org = new jsforce.Connection({ instanceUrl, accessToken, version: '66.0', callOptions: { client: 'jsforce' } });
const accounts = org.sobject('Account');

const seen = { created: await accounts.create({ Name: 'Acme', Customer_Id__c: 'J-1' }) };
seen.upserts = [
    await accounts.upsert({ Customer_Id__c: 'J-1', Name: 'Acme Two' }, 'Customer_Id__c'),
    await accounts.upsert({ Customer_Id__c: 'J-2', Name: 'Bolt' }, 'Customer_Id__c')
];
seen.updated = await accounts.update({ Id: seen.created.id, Phone: '1' });
seen.read = await accounts.retrieve(seen.created.id);
seen.refused = await accounts.create({ Phone: '1' }).catch((error) => error.errorCode);
// Several records go through sObject Collections.
seen.inserted = await accounts.create([{ Name: 'Core', Customer_Id__c: 'J-3' }, { Customer_Id__c: 'J-4' }]);
seen.changed = await accounts.update([{ Id: seen.inserted[0].id, Phone: '2' }]);
const upserts = [{ Customer_Id__c: 'J-3', Name: 'Core Two' }];
seen.collection = await org.requestPatch('/composite/sobjects/Account/Customer_Id__c', {
    records: upserts.map((record) => ({ attributes: { type: 'Account' }, ...record }))
});
seen.fields = (await accounts.describe()).fields.filter((field) => field.externalId).map((field) => field.name);
org.bulk2.pollInterval = 50;
const input = [5, 6, 7, 8, 9].map((number) => ({ Customer_Id__c: `J-${number}`, Name: `Account ${number}` }));
seen.results = await org.bulk2.loadAndWaitForResults({
    object: 'Account',
    operation: 'upsert',
    externalIdFieldName: 'Customer_Id__c',
    input
});
seen.deleted = [await accounts.destroy(seen.created.id), await accounts.destroy([seen.inserted[0].id])];
seen.rows = (await org.query('SELECT Id, Name, Customer_Id__c FROM Account')).records;
console.log(JSON.stringify(seen));
