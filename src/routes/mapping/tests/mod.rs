mod coercions;
mod events;
mod expressions;
mod fixtures;
mod records;
mod sources;
