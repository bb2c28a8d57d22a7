//! The requests that a miner sends.

use serde_json::{Map, Value, json};

use super::field::{Field, Fields, hex_u32, number};
use super::{Call, Id, MessageError};
use crate::text::printable;

/// A request from a miner to a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `mining.configure` (BIP-0310).
    Configure(Configure),
    /// `mining.subscribe`.
    Subscribe(Subscribe),
    /// `mining.authorize`.
    Authorize(Authorize),
    /// `mining.suggest_difficulty`: a positive and finite difficulty.
    SuggestDifficulty(f64),
    /// `mining.extranonce.subscribe`: the miner supports `mining.set_extranonce`.
    SubscribeExtranonce,
    /// `mining.submit`.
    Submit(Submit),
    /// `mining.ping`: asks for an answer of any kind.
    Ping,
    /// Any other method, by its name (cut if long).
    Unknown(String),
}

/// The extensions that a miner asks for in `mining.configure`. `None` in a field: the miner did not ask for the extension, or with
/// parameters that cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configure {
    /// The names of all requested extensions, known or not, in the miner's order; at most 32.
    pub extensions: Vec<String>,
    /// Version bits that the miner can roll, if it asks for version rolling.
    pub version_mask: Option<u32>,
    /// The miner's minimum difficulty; zero disables the extension.
    pub minimum_difficulty: Option<f64>,
}

/// The parameters of `mining.subscribe`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// The miner's name and version.
    pub user_agent: Option<String>,
    /// The id of the session to resume.
    pub session: Option<String>,
}

/// The parameters of `mining.authorize`. `Debug` omits the password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct Authorize {
    /// User name, commonly `ACCOUNT.WORKER`.
    pub user: String,
    /// Password. It is rarely a secret: some pools read options from it.
    #[debug(skip)]
    pub password: String,
}

/// The five or six fields of `mining.submit`, in their order on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// The authorized user.
    pub user: String,
    /// The id of the job.
    pub job: String,
    /// The bytes of the coinbase that the miner chose.
    pub extranonce2: Vec<u8>,
    /// Header time, seconds since the Unix epoch.
    pub ntime: u32,
    /// Header nonce.
    pub nonce: u32,
    /// The version bits that the miner rolled, if version rolling was granted.
    pub version_bits: Option<u32>,
}

/// Maximum length of a user name, password, user agent or job id in a request, in bytes.
const MAX_TEXT: usize = 512;

impl Request {
    /// Reads a call that came from a miner.
    ///
    /// # Errors
    ///
    /// If the method is known but a field is missing or invalid.
    pub fn from_call(call: &Call) -> Result<Self, MessageError> {
        let fields = Fields { method: &call.method, values: &call.params };
        Ok(match call.method.as_str() {
            "mining.configure" => Request::Configure(Configure::from_params(&fields)?),
            "mining.subscribe" => Request::Subscribe(Subscribe::from_params(&fields)?),
            "mining.authorize" => Request::Authorize(Authorize::from_params(&fields)?),
            "mining.suggest_difficulty" => {
                Request::SuggestDifficulty(fields.need(0, "difficulty")?.difficulty()?)
            }
            "mining.extranonce.subscribe" => Request::SubscribeExtranonce,
            "mining.submit" => Request::Submit(Submit::from_params(&fields)?),
            "mining.ping" => Request::Ping,
            other => Request::Unknown(printable(other)),
        })
    }

    /// Writes the call.
    pub fn to_call(&self, id: Id) -> Call {
        let (method, params) = match self {
            Request::Configure(configure) => ("mining.configure", configure.to_params()),
            Request::Subscribe(subscribe) => ("mining.subscribe", subscribe.to_params()),
            Request::Authorize(Authorize { user, password }) => {
                ("mining.authorize", vec![json!(user), json!(password)])
            }
            Request::SuggestDifficulty(difficulty) => {
                ("mining.suggest_difficulty", vec![number(*difficulty)])
            }
            Request::SubscribeExtranonce => ("mining.extranonce.subscribe", vec![]),
            Request::Submit(submit) => ("mining.submit", submit.to_params()),
            Request::Ping => ("mining.ping", vec![]),
            Request::Unknown(method) => (method.as_str(), vec![]),
        };
        Call { id, method: method.to_owned(), params }
    }
}

impl Configure {
    const MAX_EXTENSIONS: usize = 32;

    /// Asks for the extensions whose parameters are given and, with `extranonce`, for `mining.set_extranonce`.
    pub fn new(version_mask: Option<u32>, minimum_difficulty: Option<f64>, extranonce: bool) -> Self {
        let mut extensions = Vec::new();
        extensions.extend(version_mask.map(|_| "version-rolling".to_owned()));
        extensions.extend(minimum_difficulty.map(|_| "minimum-difficulty".to_owned()));
        extensions.extend(extranonce.then(|| "subscribe-extranonce".to_owned()));
        Configure { extensions, version_mask, minimum_difficulty }
    }

    /// Whether the miner asks for this extension.
    pub fn asks_for(&self, extension: &str) -> bool {
        self.extensions.iter().any(|asked| asked == extension)
    }

    fn from_params(fields: &Fields<'_>) -> Result<Self, MessageError> {
        let list = fields.need(0, "extensions")?;
        let names = list.array()?;
        if names.len() > Configure::MAX_EXTENSIONS {
            return Err(list.invalid("at most 32 extensions"));
        }
        let extensions: Vec<String> =
            names.iter().map(|value| short(Field { value, ..list })).collect::<Result<_, _>>()?;
        let mut configure = Configure { extensions, ..Configure::default() };
        let options = fields.get(1, "extension parameters").and_then(|field| field.value.as_object());
        let option = |name| {
            let value = options?.get(name).filter(|value| !value.is_null())?;
            Some(Field { method: fields.method, name, value })
        };
        // An extension with a parameter that cannot be read is not granted. The others are.
        if configure.asks_for("version-rolling") {
            configure.version_mask = match option("version-rolling.mask") {
                Some(field) => field.hex_u32().ok(),
                None => Some(u32::MAX),
            };
        }
        if configure.asks_for("minimum-difficulty") {
            configure.minimum_difficulty = match option("minimum-difficulty.value") {
                Some(field) if field.value.as_f64() != Some(0.0) => field.difficulty().ok(),
                _ => Some(0.0),
            };
        }
        Ok(configure)
    }

    fn to_params(&self) -> Vec<Value> {
        let mut options = Map::new();
        if let Some(mask) = self.version_mask {
            options.insert("version-rolling.mask".to_owned(), hex_u32(mask));
            options.insert("version-rolling.min-bit-count".to_owned(), json!(mask.count_ones().min(2)));
        }
        if let Some(minimum) = self.minimum_difficulty {
            options.insert("minimum-difficulty.value".to_owned(), number(minimum));
        }
        vec![json!(self.extensions), Value::Object(options)]
    }
}

impl Subscribe {
    fn from_params(fields: &Fields<'_>) -> Result<Self, MessageError> {
        Ok(Subscribe {
            user_agent: fields.get(0, "user agent").map(short).transpose()?,
            session: fields.get(1, "session").map(short).transpose()?,
        })
    }

    fn to_params(&self) -> Vec<Value> {
        match (&self.user_agent, &self.session) {
            (None, None) => vec![],
            (Some(agent), None) => vec![json!(agent)],
            (agent, Some(session)) => vec![json!(agent), json!(session)],
        }
    }
}

impl Authorize {
    fn from_params(fields: &Fields<'_>) -> Result<Self, MessageError> {
        let user = short(fields.need(0, "user")?)?;
        let password = fields.get(1, "password").map(short).transpose()?.unwrap_or_default();
        Ok(Authorize { user, password })
    }
}

impl Submit {
    fn from_params(fields: &Fields<'_>) -> Result<Self, MessageError> {
        // Some miners send an empty text instead of leaving the field out.
        let version_bits = fields.get(5, "version bits").filter(|field| field.value != "");
        Ok(Submit {
            user: short(fields.need(0, "user")?)?,
            job: short(fields.need(1, "job id")?)?,
            extranonce2: fields.need(2, "extranonce2")?.bytes(16)?,
            ntime: fields.need(3, "ntime")?.hex_u32()?,
            nonce: fields.need(4, "nonce")?.hex_u32()?,
            version_bits: version_bits.map(|field| field.hex_u32()).transpose()?,
        })
    }

    fn to_params(&self) -> Vec<Value> {
        let mut params = vec![
            json!(self.user),
            json!(self.job),
            json!(hex::encode(&self.extranonce2)),
            hex_u32(self.ntime),
            hex_u32(self.nonce),
        ];
        params.extend(self.version_bits.map(hex_u32));
        params
    }
}

/// Reads a string of at most [`MAX_TEXT`] bytes without control characters, so that it can be stored and shown on terminals.
fn short(field: Field<'_>) -> Result<String, MessageError> {
    let text = field.text()?;
    if text.len() > MAX_TEXT || text.contains(char::is_control) {
        return Err(field.invalid("at most 512 bytes without control characters"));
    }
    Ok(text)
}
