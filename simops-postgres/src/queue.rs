//! Group commit: calls that arrive while a transaction is running share the next one, and with it a
//! commit and the locks on the rows that all of them update.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use simops::store::sql::{await_answer, copy_error, panicked};
use simops::{Error, Result};
use tokio::sync::{Mutex, mpsc, oneshot};

/// Maximum calls per transaction.
const MAX_BATCH: usize = 512;

/// Runs a batch: the result of each call in order, or one error for all.
type Work<I, O> = dyn Fn(Vec<I>) -> BoxFuture<'static, Result<Vec<Result<O>>>> + Send + Sync;

struct Call<I, O> {
    item: I,
    reply: oneshot::Sender<Result<O>>,
}

/// A queue of calls of one kind.
pub(crate) struct Queue<I, O> {
    calls: mpsc::Sender<Call<I, O>>,
    call_timeout: Duration,
}

impl<I: Clone + Send + 'static, O: Send + 'static> Queue<I, O> {
    /// A queue for `max_waiting` calls, run in `lanes` concurrent transactions. Dropping it ends the
    /// lanes after the calls they have taken.
    pub(crate) fn start<F>(
        lanes: usize,
        max_waiting: usize,
        call_timeout: Duration,
        work: impl Fn(Vec<I>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<Result<O>>>> + Send + 'static,
    {
        let (calls, waiting_calls) = mpsc::channel(max_waiting);
        let waiting_calls = Arc::new(Mutex::new(waiting_calls));
        let work: Arc<Work<I, O>> = Arc::new(move |items| work(items).boxed());
        for _ in 0..lanes {
            tokio::spawn(lane(Arc::clone(&waiting_calls), Arc::clone(&work)));
        }
        Self { calls, call_timeout }
    }

    /// Queues a call and waits for its result.
    pub(crate) async fn call(&self, item: I) -> Result<O> {
        let (reply, answer) = oneshot::channel();
        let call = Call { item, reply };
        self.calls
            .try_send(call)
            .map_err(|_| Error::unavailable("too many calls wait for the database"))?;
        await_answer(answer, self.call_timeout).await
    }
}

async fn lane<I: Clone, O>(waiting: Arc<Mutex<mpsc::Receiver<Call<I, O>>>>, work: Arc<Work<I, O>>) {
    let mut calls = Vec::new();
    loop {
        if waiting.lock().await.recv_many(&mut calls, MAX_BATCH).await == 0 {
            return;
        }
        // Skips callers that gave up, so that they do not delay others after an outage.
        let mut batch: Vec<_> = calls.drain(..).filter(|call| !call.reply.is_closed()).collect();
        if batch.is_empty() {
            continue;
        }
        let items = batch.iter().map(|call| call.item.clone()).collect();
        match attempt(&*work, items).await {
            Ok(answers) => {
                for (call, answer) in batch.into_iter().zip(answers) {
                    // The caller may have given up.
                    let _ = call.reply.send(answer);
                }
            }
            // One call may have caused the failure, so each is retried alone.
            Err(error) if batch.len() > 1 && !error.is_retryable() => {
                for call in batch {
                    let answer = attempt(&*work, vec![call.item]).await;
                    let answer =
                        answer.and_then(|mut answers| answers.pop().unwrap_or_else(no_answer));
                    let _ = call.reply.send(answer);
                }
            }
            Err(error) => {
                let last = batch.pop();
                for call in batch {
                    let _ = call.reply.send(Err(copy_error(&error)));
                }
                if let Some(last) = last {
                    let _ = last.reply.send(Err(error));
                }
            }
        }
    }
}

fn no_answer<O>() -> Result<O> {
    Err(Error::internal("a call was not answered"))
}

/// Runs a batch. A panic fails its calls, not the lane that serves all callers.
async fn attempt<I, O>(work: &Work<I, O>, items: Vec<I>) -> Result<Vec<Result<O>>> {
    let wanted = items.len();
    let done = AssertUnwindSafe(work(items)).catch_unwind().await;
    let answers = done.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
    if answers.len() == wanted {
        Ok(answers)
    } else {
        Err(Error::internal("a call was not answered"))
    }
}
