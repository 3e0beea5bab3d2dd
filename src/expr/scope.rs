//! What filters and expressions see of one event, and how much work they may make of it.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell, RefCell},
    collections::{HashMap, HashSet},
};

use minijinja::Value;

use super::{
    digits,
    json::{Document, Kind, Place},
    tree::{scalar, tree},
};
use crate::{
    event::{Data, Event, Topic},
    wire,
};

/// The most work for one event, where one is about the time to look at a byte. Whatever an
/// expression does is paid before it is done or right after, so time and memory are bounded by it.
const WORK_MAX: usize = 4 << 20;
/// The price of a look at one value of a list or object.
const LOOK: usize = 12;
/// The price of a look at a name with escapes.
const READ: usize = 128;
/// The price of a byte that becomes a tree of values: `{"":0}` takes a hundred times its text.
const TREE: usize = 24;
/// Smaller texts are copied again when they are asked for again.
const KEPT_BYTES_MIN: usize = 1_024;

/// One event, as filters and expressions see it.
pub(super) struct Scope<'a> {
    event: &'a Event,
    topic: &'a Topic,
    attributes: OnceCell<Option<Document<'a>>>,
    data: OnceCell<Option<Document<'a>>>,
    kept: RefCell<HashMap<Place, Value>>,
    work: Cell<usize>,
}

/// What an expression or a part of it comes to.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) held: Held,
    /// How large it is at most, for what looks at all of it.
    pub(super) bytes: usize,
}

/// Where an item is.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// A list or object that is still where it was in the event's data.
    Place(Place),
    /// Anything else.
    Value(Value),
}

impl Item {
    pub(super) fn new(value: Value) -> Self {
        Self::sized(value, 16)
    }

    pub(super) fn sized(value: Value, bytes: usize) -> Self {
        let text = value.as_str().or_else(|| digits::number(&value));
        let bytes = text.map_or(bytes, str::len);
        Self { held: Held::Value(value), bytes }
    }

    pub(super) fn undefined() -> Self {
        Self::new(Value::UNDEFINED)
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(&self.held, Held::Value(value) if value.is_undefined())
    }
}

/// Whether an item counts as true: not when it is missing, none, false, zero or empty.
pub(super) fn truth(scope: &Scope<'_>, item: &Item) -> Result<bool, String> {
    match &item.held {
        Held::Place(place) => Ok(!scope.is_empty(*place)?),
        Held::Value(value) => {
            // The zeros of a number are looked at.
            scope.spend(digits::number(value).map_or(0, str::len))?;
            Ok(value.is_true())
        }
    }
}

impl<'a> Scope<'a> {
    pub(super) fn new(event: &'a Event, topic: &'a Topic) -> Self {
        Self {
            event,
            topic,
            attributes: OnceCell::new(),
            data: OnceCell::new(),
            kept: RefCell::default(),
            work: Cell::new(WORK_MAX),
        }
    }

    /// Pays for work.
    ///
    /// # Errors
    /// It was too much.
    pub(super) fn spend(&self, work: usize) -> Result<(), String> {
        let left = self.work.get().checked_sub(work);
        self.work.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| "would be too much work on this event".to_owned())
    }

    /// An attribute in the form that CloudEvents gives it as a text.
    pub(super) fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        match name {
            "specversion" => return Some("1.0".into()),
            "milkruntopic" => return Some(self.topic.as_str().into()),
            "milkrunversion" => return Some(wire::padded(self.event.version).into()),
            _ => {}
        }
        match (self.own(name), name) {
            (Some((attributes, place)), _) => Some(attributes.text(place)),
            (None, "topic") => Some(self.topic.as_str().into()),
            (None, "sequence") => Some(wire::padded(self.event.version).into()),
            (None, _) => None,
        }
    }

    fn own(&self, name: &str) -> Option<(&Document<'a>, Place)> {
        let attributes =
            self.attributes.get_or_init(|| Document::new(self.event.attributes.as_str()));
        let attributes = attributes.as_ref()?;
        attributes.member(0, name).map(|place| (attributes, place))
    }

    /// What a name stands for in an expression.
    pub(super) fn name(&self, name: &str) -> Result<Item, String> {
        match name {
            "data" => return self.data(),
            "version" => return Ok(Item::new(Value::from(self.event.version.0))),
            _ => {}
        }
        if let Some((attributes, place)) = self.own(name)
            && attributes.kind(place) == Kind::Other
        {
            return scalar(attributes.raw(place)).map(Item::new);
        }
        let Some(text) = self.attribute(name) else { return Ok(Item::undefined()) };
        self.spend(text.len())?;
        Ok(Item::new(Value::from(&*text)))
    }

    fn data(&self) -> Result<Item, String> {
        match &self.event.data {
            Data::None | Data::Binary(_) => Ok(Item::undefined()),
            Data::Json(_) => self.item(0),
            Data::Text(bytes) => {
                self.spend(bytes.len())?;
                Ok(Item::new(Value::from(String::from_utf8_lossy(bytes))))
            }
        }
    }

    fn document(&self) -> Result<&Document<'a>, String> {
        if self.data.get().is_none() {
            let read = std::str::from_utf8(self.event.data.bytes()).ok().and_then(Document::new);
            self.spend(read.as_ref().map_or(0, Document::work))?;
            self.data.get_or_init(|| read);
        }
        let document = self.data.get().and_then(Option::as_ref);
        document.ok_or_else(|| "has data that are not JSON".to_owned())
    }

    /// The value at a place of the data.
    pub(super) fn item(&self, place: Place) -> Result<Item, String> {
        let document = self.document()?;
        let raw = document.raw(place);
        match document.kind(place) {
            Kind::Object | Kind::Array => Ok(Item { held: Held::Place(place), bytes: raw.len() }),
            Kind::Other => self.keep(place, raw.len(), || scalar(raw)).map(Item::new),
            Kind::Text | Kind::Escaped => self
                .keep(place, raw.len(), || Ok(Value::from(&*document.text(place))))
                .map(Item::new),
        }
    }

    /// The item as minijinja has it. A list or object is copied for it.
    pub(super) fn value(&self, item: &Item) -> Result<Value, String> {
        match &item.held {
            Held::Value(value) => Ok(value.clone()),
            Held::Place(place) => {
                let document = self.document()?;
                let work = document.raw(*place).len().saturating_mul(TREE);
                self.keep(*place, work, || tree(document, *place, &scalar))
            }
        }
    }

    /// Whether the place has an object; else it has a list.
    pub(super) fn is_object(&self, place: Place) -> Result<bool, String> {
        Ok(self.document()?.kind(place) == Kind::Object)
    }

    /// The producer's own text of the value at a place of the data.
    pub(super) fn raw(&self, place: Place) -> Result<&'a str, String> {
        Ok(self.document()?.raw(place))
    }

    /// Makes a value, once if it is large.
    fn keep(
        &self,
        place: Place,
        work: usize,
        make: impl FnOnce() -> Result<Value, String>,
    ) -> Result<Value, String> {
        if let Some(kept) = self.kept.borrow().get(&place) {
            return Ok(kept.clone());
        }
        self.spend(work)?;
        let value = make()?;
        if work >= KEPT_BYTES_MIN {
            self.kept.borrow_mut().insert(place, value.clone());
        }
        Ok(value)
    }

    /// How many items a list has, or names an object: one that is there twice counts once.
    pub(super) fn length(&self, place: Place) -> Result<usize, String> {
        let document = self.document()?;
        let count = document.children(place).count();
        self.spend(count.saturating_mul(LOOK))?;
        if document.kind(place) == Kind::Array {
            return Ok(count);
        }
        let names = document.members(place).map(|(name, _)| document.text(name));
        self.spend(document.raw(place).len())?;
        Ok(names.collect::<HashSet<_>>().len())
    }

    /// Whether there is anything in a list or object.
    pub(super) fn is_empty(&self, place: Place) -> Result<bool, String> {
        Ok(self.document()?.children(place).next().is_none())
    }

    /// The field of an object with this name.
    pub(super) fn field(&self, place: Place, name: &str) -> Result<Option<Place>, String> {
        let document = self.document()?;
        let mut found = None;
        for (key, value) in document.members(place) {
            self.spend(if document.kind(key) == Kind::Escaped { READ } else { LOOK })?;
            if document.says(key, name) {
                found = Some(value);
            }
        }
        Ok(found)
    }

    /// The item of a list at an index; a negative one counts from the end.
    pub(super) fn element(&self, place: Place, index: i64) -> Result<Option<Place>, String> {
        let index = match usize::try_from(index) {
            Ok(index) => Some(index),
            Err(_) => self
                .length(place)?
                .checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
        };
        let Some(index) = index else { return Ok(None) };
        let (mut looks, mut found) = (0_usize, None);
        for item in self.document()?.children(place) {
            if looks == index {
                found = Some(item);
                break;
            }
            looks += 1;
        }
        self.spend(looks.saturating_mul(LOOK))?;
        Ok(found)
    }
}
