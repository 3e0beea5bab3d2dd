//! A batch of rows: what is covered by a checksum is compared with it first.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;

use super::{Outgoing, missing};
use crate::{
    event::Version,
    store::{
        StoreError, TopicState,
        migrate::rows::{Batch, Column, Field, Lost, LostGap, Sum, Table},
        rules::known::KnownPending,
        sqlite::{
            file::{
                holes::MISSING,
                row::Cells,
                sheet::kept_event,
                slot,
                waiting::{listed, pending},
            },
            log::{EVENT_DAMAGED, is_damage},
            pending::DAMAGED as PENDING_DAMAGED,
        },
        sum,
    },
};

/// Rows of a batch, at most.
const ROWS: i64 = 2_000;
/// Texts and bytes of a batch, not counting its last row.
const BYTES: usize = 4 << 20;
/// The checksum of no row: what is damaged stays damaged, and whoever reads it is told.
const OF_NONE: i64 = -1;

impl Outgoing {
    /// The next rows of a table, behind the key `after`.
    ///
    /// # Errors
    /// As the file has them; a damaged event is none.
    pub(crate) async fn batch(&mut self, table: &Table, after: i64) -> Result<Batch, StoreError> {
        let (mut found, keys) = match self.read(table, (after, i64::MAX)).await {
            // A page of the file is damaged: row by row it shows which events it has.
            Err(error) if table.sum == Sum::Logged && is_damage(&error) => {
                self.one(table, after).await?
            }
            read => read?,
        };
        if table.sum == Sum::Logged {
            let up_to = if found.is_last { i64::MAX } else { found.after };
            let gone = missing::missing(&self.topics, &self.holes, (after, up_to), &keys);
            found.lost.extend(gone.into_iter().map(|(topic, from, to)| lost_rows(topic, from, to)));
            found.lost.sort_by_key(|lost| lost.gap.as_ref().map(|gap| (gap.topic, gap.after)));
        }
        Ok(found)
    }

    /// Rows whose keys lie above the first bound and at or below the second, and their keys.
    async fn read(
        &mut self,
        table: &Table,
        (after, up_to): (i64, i64),
    ) -> Result<(Batch, Vec<i64>), StoreError> {
        let (mut batch, mut keys) = (Batch::new(table, after), Vec::new());
        let mut query = sqlx::query(table.read).bind(after).bind(ROWS);
        if table.sum == Sum::Logged {
            query = query.bind(up_to);
        }
        let mut rows = query.fetch(&mut *self.file.conn);
        let mut bytes = 0;
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => {
                    batch.is_last = i64::try_from(keys.len()).is_ok_and(|count| count < ROWS);
                    break;
                }
                // What was read before it is whole.
                Err(_) if !keys.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            bytes += take(&mut batch, table, &row, &self.topics)?;
            batch.after = Cells::of(&row, table.name).get("key")?;
            keys.push(batch.after);
            if bytes >= BYTES {
                break;
            }
        }
        Ok((batch, keys))
    }

    /// The next event alone, of a page that cannot be read.
    async fn one(&mut self, table: &Table, after: i64) -> Result<(Batch, Vec<i64>), StoreError> {
        let Some(slot) = missing::next(&self.topics, after) else {
            return Ok((Batch { is_last: true, ..Batch::new(table, after) }, Vec::new()));
        };
        match self.read(table, (slot - 1, slot)).await {
            Err(error) if is_damage(&error) => {
                let mut batch = Batch::new(table, slot);
                let (topic, version) = slot::split(slot);
                let why = "the page of the file that has it is damaged";
                let state = state(&self.topics, topic)?;
                batch.lost.push(damaged_event(state, Version(version), why));
                for (field, column) in table.fields.iter().zip(&mut batch.columns) {
                    match field.name {
                        "topic" => put_number(column, Some(topic)),
                        "version" => put_number(column, Some(version.cast_signed())),
                        _ => put_blank(column, field, Some(state)),
                    }
                }
                (batch.rows, batch.count) = (1, 1);
                Ok((batch, vec![slot]))
            }
            read => {
                let (batch, keys) = read?;
                Ok((Batch { after: slot, is_last: false, ..batch }, keys))
            }
        }
    }
}

/// Takes a row in; answers how many bytes it has.
fn take(
    batch: &mut Batch,
    table: &Table,
    row: &SqliteRow,
    topics: &[Arc<TopicState>],
) -> Result<usize, StoreError> {
    let cells = Cells::of(row, table.name);
    let topic = match table.sum {
        Sum::Logged | Sum::Kept => Some(state(topics, cells.get("topic")?)?),
        _ => None,
    };
    let sum = match checked(row, table, topic) {
        Err(StoreError::Unreadable { problem, .. }) => {
            batch.lost.push(lost_row(cells, table, topic, &problem)?);
            // The database would not know when it is due.
            if table.sum == Sum::Pending {
                return Ok(0);
            }
            None
        }
        sum => Some(sum?),
    };
    let mut bytes = 0;
    for (field, column) in table.fields.iter().zip(&mut batch.columns) {
        match sum {
            None if field.is_event => put_blank(column, field, topic),
            Some(sum) if field.name == "checksum" => put_number(column, sum.map(i64::from)),
            _ => bytes += put(column, field, cells)?,
        }
    }
    batch.rows += 1;
    batch.count += match batch.columns.last() {
        Some(Column::Bytes(hashes)) if table.name == "seen" => {
            hashes.last().and_then(Option::as_ref).map_or(0, |hashes| hashes.len() as u64 / 16)
        }
        _ => 1,
    };
    Ok(bytes)
}

/// The checksum of what was read and is as it was written; `None` when there is nothing to check.
fn checked(
    row: &SqliteRow,
    table: &Table,
    topic: Option<&TopicState>,
) -> Result<Option<u32>, StoreError> {
    let cells = Cells::of(row, table.name);
    let kept = |state: &TopicState| {
        let event = kept_event(cells, cells.get("version")?, state)?;
        Ok::<_, StoreError>(event.map(|event| sum::of_event(state.id, &event)))
    };
    match (table.sum, topic) {
        (Sum::Logged, Some(state)) => {
            let sum = kept(state)?;
            Ok(Some(sum.ok_or_else(|| cells.unreadable("it has no attributes"))?))
        }
        (Sum::Kept, Some(state)) => kept(state),
        (Sum::Pending, _) => {
            let one = pending(row)?;
            let (topic, key, due) = (one.topic, one.key, one.due);
            let known = KnownPending { topic, key, due, committed: cells.get("committed")? };
            Ok(Some(sum::of_pending(one.id, &known, one.since, &one.event)))
        }
        (Sum::Listed, _) => {
            let (source, count) = slot::split(cells.get("slot")?);
            Ok(Some(sum::of_listed(source, count, &listed(row)?)))
        }
        _ => Ok(None),
    }
}

/// What is told of a row that is damaged.
fn lost_row(
    cells: Cells<'_>,
    table: &Table,
    topic: Option<&TopicState>,
    problem: &str,
) -> Result<Lost, StoreError> {
    let key: i64 = cells.get("key")?;
    Ok(match (table.sum, topic) {
        (Sum::Logged, Some(state)) => damaged_event(state, Version(slot::split(key).1), problem),
        (Sum::Pending, _) => {
            let detail = format!(
                "pending event {key} is damaged in the file ({problem}) and is lost: publish it again"
            );
            let topic = cells.get("topic")?;
            // The head is where it would have gone; the database knows it.
            let gap = LostGap { topic, after: Version::MAX, reason: PENDING_DAMAGED, hole: None };
            Lost { detail, gap: Some(gap) }
        }
        (Sum::Listed, _) => {
            let (source, _) = slot::split(key);
            let detail = format!("a row that source {source} has listed is damaged: {problem}");
            Lost { detail, gap: None }
        }
        (_, Some(state)) => {
            let version: Version = cells.get("version")?;
            let detail = format!(
                "topic `{}`: version {version}, which is kept beside the log ({}), is damaged: \
                 {problem}",
                state.topic, table.name
            );
            Lost { detail, gap: None }
        }
        _ => return Err(cells.unreadable(problem)),
    })
}

fn damaged_event(state: &TopicState, version: Version, problem: &str) -> Lost {
    let after = version.previous();
    Lost {
        detail: format!("topic `{}`: version {version} is damaged: {problem}", state.topic),
        gap: Some(LostGap { topic: state.id, after, reason: EVENT_DAMAGED, hole: None }),
    }
}

fn lost_rows(state: &TopicState, first: Version, last: Version) -> Lost {
    let (topic, after) = (state.id, first.previous());
    Lost {
        detail: format!(
            "topic `{}`: versions {first} to {last} are missing in the file",
            state.topic
        ),
        gap: Some(LostGap { topic, after, reason: MISSING, hole: Some((first, last)) }),
    }
}

fn state(topics: &[Arc<TopicState>], id: i64) -> Result<&TopicState, StoreError> {
    let place = topics.binary_search_by_key(&id, |topic| topic.id);
    let missing = || StoreError::not_found("topic", id.to_string());
    place.map(|place| &*topics[place]).map_err(|_| missing())
}

/// Puts the value of a field; answers how many bytes it has.
fn put(column: &mut Column, field: &Field, cells: Cells<'_>) -> Result<usize, StoreError> {
    match column {
        Column::Numbers(numbers) => numbers.push(cells.get(field.from)?),
        Column::Texts(texts) => {
            texts.push(cells.get(field.from)?);
            return Ok(texts.last().and_then(Option::as_ref).map_or(0, String::len));
        }
        Column::Bytes(bytes) => {
            bytes.push(cells.get(field.from)?);
            return Ok(bytes.last().and_then(Option::as_ref).map_or(0, Vec::len));
        }
    }
    Ok(8)
}

fn put_number(column: &mut Column, number: Option<i64>) {
    if let Column::Numbers(numbers) = column {
        numbers.push(number);
    }
}

/// Puts what stands in the place of a damaged event.
fn put_blank(column: &mut Column, field: &Field, topic: Option<&TopicState>) {
    match column {
        Column::Numbers(numbers) => numbers.push(Some(match field.name {
            "checksum" => OF_NONE,
            // Who looks for a moment among the events takes it for a late one, and removes too little
            // rather than too much.
            "recorded" => topic.map_or(0, |topic| topic.recorded.0),
            _ => 0,
        })),
        Column::Texts(texts) => texts.push(Some(String::new())),
        Column::Bytes(bytes) => bytes.push(None),
    }
}
