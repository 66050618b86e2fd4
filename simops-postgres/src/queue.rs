//! Group commit: calls that come while a transaction is under way share the next one, so that one
//! commit, and one lock on the rows that all of them count in, serves many.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use simops::{Error, Result};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use crate::error::copy;

/// Most calls that share a transaction.
const AT_ONCE: usize = 512;

/// Does the work of a batch: an answer to each call in order, or a failure of all.
type Work<I, O> = dyn Fn(Vec<I>) -> BoxFuture<'static, Result<Vec<Result<O>>>> + Send + Sync;

struct Call<I, O> {
    item: I,
    reply: oneshot::Sender<Result<O>>,
}

/// Where calls of one kind wait.
pub(crate) struct Queue<I, O> {
    calls: mpsc::Sender<Call<I, O>>,
    answer_within: Duration,
}

impl<I: Clone + Send + 'static, O: Send + 'static> Queue<I, O> {
    /// A queue for `waiting` calls, worked off in `lanes` transactions at a time. It ends with the
    /// queue, after the calls in hand.
    pub(crate) fn start<F>(
        lanes: usize,
        waiting: usize,
        answer_within: Duration,
        work: impl Fn(Vec<I>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<Result<O>>>> + Send + 'static,
    {
        let (calls, waiting_calls) = mpsc::channel(waiting);
        let waiting_calls = Arc::new(Mutex::new(waiting_calls));
        let work: Arc<Work<I, O>> = Arc::new(move |items| work(items).boxed());
        for _ in 0..lanes {
            tokio::spawn(lane(Arc::clone(&waiting_calls), Arc::clone(&work)));
        }
        Self { calls, answer_within }
    }

    /// Waits in the queue and for the answer.
    pub(crate) async fn call(&self, item: I) -> Result<O> {
        let (reply, answer) = oneshot::channel();
        let call = Call { item, reply };
        self.calls
            .try_send(call)
            .map_err(|_| Error::unavailable("too many calls wait for the database"))?;
        match timeout(self.answer_within, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::unavailable("the store is closed")),
            Err(_) => Err(Error::unavailable("the database does not answer in time")),
        }
    }
}

async fn lane<I: Clone, O>(waiting: Arc<Mutex<mpsc::Receiver<Call<I, O>>>>, work: Arc<Work<I, O>>) {
    let mut calls = Vec::new();
    loop {
        if waiting.lock().await.recv_many(&mut calls, AT_ONCE).await == 0 {
            return;
        }
        // Who has given up is not served: a pile of them must not outlive an outage.
        let mut batch: Vec<_> = calls.drain(..).filter(|call| !call.reply.is_closed()).collect();
        if batch.is_empty() {
            continue;
        }
        let items = batch.iter().map(|call| call.item.clone()).collect();
        match attempt(&*work, items).await {
            Ok(answers) => {
                for (call, answer) in batch.into_iter().zip(answers) {
                    // Who no longer listens does not need it.
                    let _ = call.reply.send(answer);
                }
            }
            // One of them may be at fault: each is tried by itself.
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
                    let _ = call.reply.send(Err(copy(&error)));
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

/// Does the work. A defect costs its callers an error, never the lane that serves everybody.
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

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = said, "a call of the store panicked");
    Error::internal("a call of the store failed by a defect of simops")
}
