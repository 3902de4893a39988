//! What the org consists of when it starts: objects with change events, platform events, and channels.

use serde_json::{Value as Json, json};

use super::schemas::{ACCOUNT, CONTACT};
use super::topics::Kind;

/// A topic with the definition of its event; a channel has none.
pub(crate) struct Entry {
    pub(crate) topic: &'static str,
    pub(crate) kind: Kind,
    pub(crate) schema: Option<String>,
}

/// A channel, and how the names of the topics begin that it carries.
type Channel = (&'static str, &'static str);

pub(crate) const CHANNELS: &[Channel] = &[
    ("/data/ChangeEvents", "/data/"),
    ("/data/All__chn", "/data/"),
    ("/event/All__chn", "/event/"),
];

pub(crate) fn entries() -> Vec<Entry> {
    let change = |topic, schema| Entry {
        topic,
        kind: Kind::Change,
        schema: Some(schema),
    };
    let platform = |topic, schema: Json| Entry {
        topic,
        kind: Kind::Platform,
        schema: Some(schema.to_string()),
    };
    vec![
        change(
            "/data/AccountChangeEvent",
            with_key(ACCOUNT, "Customer_Id__c", "00NSB0000000018"),
        ),
        change(
            "/data/ContactChangeEvent",
            with_key(CONTACT, "Person_Id__c", "00NSB0000000019"),
        ),
        change("/data/Order__ChangeEvent", order_change()),
        platform("/event/Order_Shipped__e", order_shipped()),
        platform("/event/Invoice_Paid__e", invoice_paid()),
    ]
}

/// A real definition with a custom field more, by which other systems know the record.
fn with_key(definition: &str, name: &str, field_id: &str) -> String {
    let mut event: Json = serde_json::from_str(definition).unwrap_or_default();
    if let Some(fields) = event["fields"].as_array_mut() {
        fields.push(field(name, "string", &format!("Data:Text:{field_id}")));
    }
    event.to_string()
}

fn field(name: &str, avro_type: &str, doc: &str) -> Json {
    json!({"name": name, "type": ["null", avro_type], "doc": doc, "default": null})
}

/// `Order__c`: a custom object, with a reference, a compound field, and every number type.
fn order_change() -> String {
    let account: Json = serde_json::from_str(ACCOUNT).unwrap_or_default();
    let header = account["fields"][0].clone();
    let location = json!({"type": "record", "name": "Location", "fields": [
        {"name": "Latitude", "type": ["null", "double"], "default": null},
        {"name": "Longitude", "type": ["null", "double"], "default": null},
    ]});
    json!({"type": "record", "name": "Order__ChangeEvent", "namespace": "com.sforce.eventbus", "fields": [
        header,
        field("Name", "string", "Data:Text"),
        field("OwnerId", "string", "ForeignKey:EntityId"),
        field("CreatedDate", "long", "CreatedDate:DateTime"),
        field("CreatedById", "string", "ForeignKey:EntityId"),
        field("LastModifiedDate", "long", "Data:DateTime"),
        field("LastModifiedById", "string", "ForeignKey:EntityId"),
        field("Account__c", "string", "ForeignKey:EntityId:00NSB0000000011"),
        field("Status__c", "string", "Data:DynamicEnum:00NSB0000000012"),
        field("Total__c", "double", "Data:Currency:00NSB0000000013"),
        field("Items__c", "double", "Data:Double:00NSB0000000014"),
        field("Ship_Date__c", "long", "Data:DateOnly:00NSB0000000015"),
        {"name": "Destination__c", "type": ["null", location], "doc": "Data:Location:00NSB0000000016",
         "default": null},
        field("Notes__c", "string", "Data:StringPlusClob:00NSB0000000017"),
        field("Order_Number__c", "string", "Data:Text:00NSB0000000020"),
    ]})
    .to_string()
}

fn platform_event(name: &str, custom: Vec<Json>) -> Json {
    let mut fields = vec![
        json!({"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}),
        json!({"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}),
    ];
    fields.extend(custom);
    json!({"type": "record", "name": name, "namespace": "com.sforce.eventbus", "fields": fields})
}

/// A platform event with every type of field that one may have.
fn order_shipped() -> Json {
    let custom = vec![
        field("Order_Number__c", "string", "Data:Text:00NSB0000000001"),
        field("Carrier__c", "string", "Data:Text:00NSB0000000002"),
        field("Weight__c", "double", "Data:Double:00NSB0000000003"),
        field("Express__c", "boolean", "Data:Boolean:00NSB0000000004"),
        field("Shipped_At__c", "long", "Data:DateTime:00NSB0000000005"),
        field("Due_Date__c", "long", "Data:DateOnly:00NSB0000000006"),
        field("Notes__c", "string", "Data:StringPlusClob:00NSB0000000007"),
    ];
    platform_event("Order_Shipped__e", custom)
}

fn invoice_paid() -> Json {
    let custom = vec![
        field("Invoice__c", "string", "Data:Text:00NSB0000000008"),
        field("Amount__c", "double", "Data:Double:00NSB0000000009"),
    ];
    platform_event("Invoice_Paid__e", custom)
}

#[cfg(test)]
mod tests {
    use super::super::schemas::EventSchema;
    use super::*;

    #[test]
    fn every_definition_parses_and_bears_its_topics_name() {
        for entry in entries() {
            let schema = EventSchema::parse(&entry.schema.expect("no channel")).expect("it parses");
            assert_eq!(entry.topic.rsplit('/').next(), Some(schema.name.as_str()));
        }
    }
}
