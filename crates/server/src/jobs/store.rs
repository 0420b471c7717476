//! Jobs on the disk: one SQLite database, whose changes are there when a call returns.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{Job, JobState, webhook};

/// A job that was begun so often and never came to an end takes the server down: it is given up.
const MAX_ATTEMPTS: i64 = 3;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS job (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        priority INTEGER NOT NULL,
        fields TEXT NOT NULL,
        file_name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER,
        duration_s REAL,
        error TEXT,
        n_attempts INTEGER NOT NULL DEFAULT 0,
        idempotency_key TEXT UNIQUE,
        callbacks_left INTEGER NOT NULL DEFAULT 0,
        callback_at INTEGER,
        result TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS job_queue ON job (state, priority DESC, created_at, id);
";

const COLUMNS: &str = "id, state, priority, fields, file_name, created_at, started_at, finished_at, duration_s, \
                       error, n_attempts";

/// The database.
pub(super) struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens or makes the database. What was being worked on is queued again, or has failed if that was tried too
    /// often.
    ///
    /// # Errors
    /// If the file is no such database or cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        let gave_up = r#"{"error":{"message":"The server broke down each time it worked on this recording.","type":"server_error","param":null,"code":null}}"#;
        connection.execute(
            "UPDATE job SET state = 'failed', finished_at = ?1, callback_at = ?1, error = ?2 WHERE state = 'running' AND n_attempts >= ?3",
            params![now(), gave_up, MAX_ATTEMPTS],
        )?;
        connection.execute("UPDATE job SET state = 'queued' WHERE state = 'running'", [])?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job to the queue.
    ///
    /// # Errors
    /// If there is one with its id or idempotency key already, or the disk refuses.
    pub(super) fn insert(&self, job: &Job, idempotency_key: Option<&str>) -> Result<()> {
        let fields = serde_json::to_string(&job.fields).expect("texts are JSON");
        self.connection().execute(
            "INSERT INTO job (id, state, priority, fields, file_name, created_at, idempotency_key, callbacks_left)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                job.id,
                job.state.name(),
                job.priority,
                fields,
                job.file_name,
                job.created_at,
                idempotency_key,
                if job.field("callback_url").is_some() { webhook::ATTEMPTS } else { 0 }
            ],
        )?;
        Ok(())
    }

    /// # Errors
    /// Those of the disk.
    pub(super) fn get(&self, id: &str) -> Result<Option<Job>> {
        let query = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
        self.connection().query_row(&query, [id], job).optional()
    }

    /// The job that was accepted with an idempotency key.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn with_key(&self, key: &str) -> Result<Option<Job>> {
        let query = format!("SELECT {COLUMNS} FROM job WHERE idempotency_key = ?1");
        self.connection().query_row(&query, [key], job).optional()
    }

    /// The newest jobs first.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn newest(&self, limit: u32) -> Result<Vec<Job>> {
        let query = format!("SELECT {COLUMNS} FROM job ORDER BY created_at DESC, rowid DESC LIMIT ?1");
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&query)?;
        statement.query_map([limit], job)?.collect()
    }

    /// How many jobs go before this one.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn position(&self, job: &Job) -> Result<i64> {
        self.connection().query_row(
            "SELECT count(*) FROM job WHERE state = 'queued' AND (-priority, rowid) <
                 (SELECT -priority, rowid FROM job WHERE id = ?1)",
            [&job.id],
            |row| row.get(0),
        )
    }

    /// Takes the next job out of the queue: it is running then.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn claim(&self) -> Result<Option<Job>> {
        let query = format!(
            "UPDATE job SET state = 'running', started_at = ?1, n_attempts = n_attempts + 1 WHERE rowid =
                 (SELECT rowid FROM job WHERE state = 'queued' ORDER BY priority DESC, rowid LIMIT 1)
             RETURNING {COLUMNS}"
        );
        self.connection().query_row(&query, [now()], job).optional()
    }

    /// Puts a running job back into the queue, as if nobody had begun it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn put_back(&self, id: &str) -> Result<()> {
        self.connection().execute(
            "UPDATE job SET state = 'queued', started_at = NULL, n_attempts = n_attempts - 1
             WHERE id = ?1 AND state = 'running'",
            [id],
        )?;
        Ok(())
    }

    /// Ends a job that is not at its end; returns whether it was not.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn finish(&self, id: &str, end: &End<'_>) -> Result<bool> {
        let (state, duration_s, result, error) = match end {
            End::Succeeded { result, duration_s } => {
                (JobState::Succeeded, Some(*duration_s), Some(*result), None)
            }
            End::Failed { error } => (JobState::Failed, None, None, Some(*error)),
            End::Cancelled => (JobState::Cancelled, None, None, None),
        };
        let n_rows = self.connection().execute(
            "UPDATE job SET state = ?2, finished_at = ?3, callback_at = ?3, duration_s = ?4, result = ?5, error = ?6
             WHERE id = ?1 AND state IN ('queued', 'running')",
            params![id, state.name(), now(), duration_s, result, error],
        )?;
        Ok(n_rows == 1)
    }

    /// Jobs at their end of which somebody is to be told now, and how many times it may still be tried.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn due_callbacks(&self, limit: u32) -> Result<Vec<(Job, i64)>> {
        let query = format!(
            "SELECT {COLUMNS}, callbacks_left FROM job WHERE callbacks_left > 0 AND callback_at <= ?1
             ORDER BY callback_at LIMIT ?2"
        );
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&query)?;
        statement
            .query_map(params![now(), limit], |row| Ok((job(row)?, row.get("callbacks_left")?)))?
            .collect()
    }

    /// Notes that somebody was told of a job, or that it is to be tried again at a time.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn called_back(&self, id: &str, next: Option<i64>) -> Result<()> {
        let update =
            "UPDATE job SET callbacks_left = iif(?2 IS NULL, 0, callbacks_left - 1), callback_at = ?2
                      WHERE id = ?1";
        self.connection().execute(update, params![id, next]).map(drop)
    }

    /// What a job came to.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn result(&self, id: &str) -> Result<Option<String>> {
        self.connection().query_row("SELECT result FROM job WHERE id = ?1", [id], |row| row.get(0))
    }

    /// Removes a job.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn remove(&self, id: &str) -> Result<()> {
        self.connection().execute("DELETE FROM job WHERE id = ?1", [id]).map(drop)
    }

    /// Removes jobs that came to their end so long ago, and returns how many.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn remove_old(&self, retention: Duration) -> Result<usize> {
        let before = now().saturating_sub(i64::try_from(retention.as_secs()).unwrap_or(i64::MAX));
        self.connection().execute("DELETE FROM job WHERE finished_at <= ?1", [before])
    }
}

/// How a job ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    Succeeded { result: &'a str, duration_s: f64 },
    Failed { error: &'a str },
    Cancelled,
}

fn job(row: &Row<'_>) -> Result<Job> {
    let (state, fields): (String, String) = (row.get(1)?, row.get(3)?);
    let unknown = |column, name: &str| {
        rusqlite::Error::InvalidColumnType(column, name.to_owned(), rusqlite::types::Type::Text)
    };
    Ok(Job {
        id: row.get(0)?,
        state: JobState::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| unknown(1, "state"))?,
        priority: row.get(2)?,
        fields: serde_json::from_str(&fields).map_err(|_| unknown(3, "fields"))?,
        file_name: row.get(4)?,
        created_at: row.get(5)?,
        started_at: row.get(6)?,
        finished_at: row.get(7)?,
        duration_s: row.get(8)?,
        error: row.get(9)?,
        n_attempts: row.get(10)?,
    })
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(id: &str, priority: i64) -> Job {
        Job {
            id: id.to_owned(),
            state: JobState::Queued,
            priority,
            fields: vec![("model".to_owned(), "m".to_owned())],
            file_name: "a.wav".to_owned(),
            created_at: now(),
            started_at: None,
            finished_at: None,
            duration_s: None,
            error: None,
            n_attempts: 0,
        }
    }

    #[test]
    fn the_important_goes_first_and_then_what_came_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("jobs.sqlite")).unwrap();
        for (id, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
            store.insert(&queued(id, priority), None).unwrap();
        }
        let third = store.get("a").unwrap().unwrap();
        assert_eq!(third, queued("a", 0));
        assert_eq!(store.position(&third).unwrap(), 2);
        let claimed: Vec<String> = std::iter::from_fn(|| store.claim().unwrap()).map(|job| job.id).collect();
        assert_eq!(claimed, ["b", "d", "a", "c"]);
    }

    #[test]
    fn what_a_killed_server_left_is_begun_again_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.sqlite");
        Store::open(&path).unwrap().insert(&queued("a", 0), None).unwrap();
        for n_attempts in 1..=MAX_ATTEMPTS {
            let job = Store::open(&path).unwrap().claim().unwrap().unwrap();
            assert_eq!((job.state, job.n_attempts), (JobState::Running, n_attempts));
        }
        let store = Store::open(&path).unwrap();
        assert!(store.claim().unwrap().is_none());
        let job = store.get("a").unwrap().unwrap();
        assert_eq!(job.state, JobState::Failed);
        assert!(job.error.unwrap().contains("broke down"));
    }

    #[test]
    fn a_job_ends_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("jobs.sqlite")).unwrap();
        store.insert(&queued("a", 0), Some("key")).unwrap();
        assert!(store.insert(&queued("b", 0), Some("key")).is_err(), "the key is taken");
        assert_eq!(store.with_key("key").unwrap().unwrap().id, "a");
        store.claim().unwrap();
        assert!(store.finish("a", &End::Cancelled).unwrap());
        assert!(!store.finish("a", &End::Succeeded { result: "{}", duration_s: 1.0 }).unwrap());
        assert_eq!(store.get("a").unwrap().unwrap().state, JobState::Cancelled);
        assert_eq!(store.result("a").unwrap(), None);
        assert_eq!(store.remove_old(Duration::from_secs(60)).unwrap(), 0);
        assert_eq!(store.remove_old(Duration::ZERO).unwrap(), 1);
        assert!(store.newest(10).unwrap().is_empty());
    }
}
