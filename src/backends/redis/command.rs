//! Commands that concern one key, and their replies.

use redis::{Cmd, Pipeline, RedisError, Value};

/// A command that concerns one key, or the server that has it.
#[derive(Clone)]
pub struct Command<'a> {
    pub name: &'static str,
    pub key: &'a str,
    subcommand: Option<&'static str>,
    /// The key says only which node of a cluster the command is for.
    keyless: bool,
    has_payload: bool,
    /// What comes after the key; mostly nothing.
    args: Vec<Vec<u8>>,
}

/// What the server replied to a command: an error of one command leaves the others alone.
pub type Reply = Result<Value, RedisError>;

impl<'a> Command<'a> {
    /// `NAME key`.
    pub fn new(name: &'static str, key: &'a str) -> Self {
        Command {
            name,
            key,
            subcommand: None,
            keyless: false,
            has_payload: false,
            args: Vec::new(),
        }
    }

    /// `NAME SUBCOMMAND key`.
    pub fn with_subcommand(name: &'static str, subcommand: &'static str, key: &'a str) -> Self {
        Command {
            subcommand: Some(subcommand),
            ..Command::new(name, key)
        }
    }

    /// `NAME`, for the server that has this key.
    pub fn beside(name: &'static str, key: &'a str) -> Self {
        Command {
            keyless: true,
            ..Command::new(name, key)
        }
    }

    /// The same command, of which the reply carries what producers wrote.
    pub fn with_payload(self) -> Self {
        Command {
            has_payload: true,
            ..self
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl redis::ToRedisArgs) -> Self {
        self.args.extend(arg.to_redis_args());
        self
    }

    /// In the client library's form.
    fn cmd(&self) -> Cmd {
        // Room for a name and a key at once: a batch is thousands of these.
        let mut cmd = Cmd::with_capacity(2, self.name.len() + self.key.len());
        cmd.arg(self.name);
        if let Some(subcommand) = self.subcommand {
            cmd.arg(subcommand);
        }
        if !self.keyless {
            cmd.arg(self.key);
        }
        cmd.arg(&self.args);
        cmd
    }
}

/// Of how many of these commands the replies carry what producers wrote.
pub fn payloads<'a>(commands: impl Iterator<Item = &'a Command<'a>>) -> usize {
    commands.filter(|command| command.has_payload).count()
}

/// The commands as one pipeline.
pub fn pipeline<'a>(commands: impl ExactSizeIterator<Item = &'a Command<'a>>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command.cmd());
    }
    pipeline
}

/// The same, each command with an ASKING before it: for slots that are on their way to the server.
pub fn asking_pipeline<'a>(commands: impl ExactSizeIterator<Item = &'a Command<'a>>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(2 * commands.len());
    for command in commands {
        pipeline.add_command(redis::cmd("ASKING"));
        pipeline.add_command(command.cmd());
    }
    pipeline
}

/// The largest count that is believed: values travel to KEDA as doubles, which hold no larger
/// number exactly.
const LARGEST_COUNT: u64 = 1 << 53;

/// The number of entries that a server replied.
pub fn as_count(value: &Value) -> Option<u64> {
    let Value::Int(number) = value else {
        return None;
    };
    let number = u64::try_from(*number).ok();
    number.filter(|number| *number <= LARGEST_COUNT)
}

/// The text that a server replied.
pub fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// The elements of an array that a server replied.
pub fn as_array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_whole_number_that_a_double_holds() {
        assert_eq!(as_count(&Value::Int(7)), Some(7));
        for nonsense in [
            Value::Int(-1),
            Value::Int(i64::MAX),
            Value::Nil,
            Value::BulkString(b"7".to_vec()),
        ] {
            assert_eq!(as_count(&nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_command_is_packed_with_its_subcommand_before_the_key() {
        let command = Command::with_subcommand("XINFO", "GROUPS", "orders").arg("x");
        let packed = String::from_utf8(command.cmd().get_packed_command()).unwrap();
        assert_eq!(
            packed,
            "*4\r\n$5\r\nXINFO\r\n$6\r\nGROUPS\r\n$6\r\norders\r\n$1\r\nx\r\n"
        );
        let time = Command::beside("TIME", "orders").cmd();
        assert_eq!(time.get_packed_command(), b"*1\r\n$4\r\nTIME\r\n");
    }
}
