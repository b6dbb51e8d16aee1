/* The commit of one migration and its recovery, on both hosts. README.md says how to run this model and how its names
 * map to the code.
 *
 * Each actor is a proctype with one loop of guarded steps. A step is atomic; anything may happen between two steps. An
 * actor knows only what it can find out again after its own death: journals, tasks, messages.
 *
 * While it is `stormy`, the proctype `storm` (storm.pml) kills processes and hosts, loses messages and has some of them
 * delivered twice, in any order and any number of times. When the storm ends, the agents start again and stay up. The
 * network never keeps messages in order.
 *
 * Checked: no copy runs after the other one has run, and no tree runs of which a part is missing (the assertions).
 * After the storm both hosts settle the session, and one copy is left (the formula `settles` in storm.pml).
 *
 * Each macro removes or changes one rule; test_model.py lists them.
 */

/* ---- The journals: the last record of each host, and the last one that is surely on disk ---- */

mtype:record = { OPEN, GO, DONE, ABORTED, PREPARED, RESUMING, RESUMED, NEVER, LOST };

mtype:record source = OPEN, source_disk = OPEN;
mtype:record destination = OPEN, destination_disk = OPEN;

inline append(journal, disk, record) { journal = record; disk = record }
inline append_unflushed(journal, record) { journal = record }

/* ---- The two copies of the tree ---- */

mtype:tree = {
  Traced,   /* stopped by ptrace. The original runs on when the worker dies; the vessels are killed when the engine dies
               (PTRACE_O_EXITKILL) */
  Partial,  /* frozen, but some of its tasks are killed, or not released from ptrace yet */
  Frozen,   /* complete, in a frozen control group, and not traced: it stays, whichever process dies */
  Running,
  Dying,    /* looks like Frozen: its tracer is dead, and SIGKILL is pending or about to be sent by the kernel */
  Gone
};

mtype:tree original = Traced;
mtype:tree copy = Traced;

/* Facts that no actor knows. Only the properties use them. */
bool original_ran, copy_ran;  /* it has run since the stop */
bool copy_ended;              /* the program has ended by itself at the destination */
bool excused;                 /* a host crashed that held the tree: no copy has to be left */

inline run_original() {
  assert(original == Frozen || original == Traced);
  assert(!copy_ran);
  original = Running;
  original_ran = true
}

inline run_copy() {
  assert(copy == Frozen);
  assert(!original_ran);
  copy = Running;
  copy_ran = true
}

/* ---- Messages on their way ---- */

bool prepared_sent, go_sent, never_sent, decided_sent, ended_sent, resumed_sent;  /* ended: the answer to Decided */
bool query_sent;
mtype:record answer;  /* SessionState, the answer to Query; 0: none */

bool stormy = true;

/* Takes a message. In a storm it may come again. */
inline take(message) {
  if
  :: message = false
  :: stormy
  fi
}

/* ---- The actors' states ---- */

mtype:state = {
  /* the worker of crx-migrate: the functions of agent-src/migrate/commit.cpp */
  cutover, roll_back, decide, send_go, await_verdict, end_original, ask_for_verdict, act,
  /* the engine of crx-agent: the states of agent-dst/migrate/destination_session.hpp, and Resuming in four steps */
  Receiving, Prepared, Resuming, await_decided, let_run, report,
  ended
};

mtype:state worker = cutover;
mtype:state engine = Receiving;
bool guard_up = true, source_agent_up = true, supervisor_up = true;

bool awaits_end;       /* the copy may not run before the original has ended (leases, watched files) */
bool asked_to_end;     /* the engine has sent Decided */
mtype:record verdict;  /* what the worker, or else the source's agent, acts upon; 0: none; it dies with that process */

/* The worker and the engine lock their journals (flock) while they live. Nobody else decides anything then. */
#define source_unlocked (worker == ended)
#ifdef NO_LOCK
#define destination_unlocked true
#else
#define destination_unlocked (engine == ended)
#endif

/* The connection of the session ends with the process at either end. */
inline end_worker() {
  worker = ended;
  prepared_sent = false; never_sent = false; decided_sent = false; resumed_sent = false
}
inline end_engine() {
  engine = ended;
  go_sent = false; ended_sent = false
}
inline to_worker(message) { message = (worker != ended) }
inline to_engine(message) { message = (engine != ended) }

/* ---- Source ---- */

/* Asks by session id, over a connection of its own. It asks again when neither a question nor an answer is on its way;
 * time-outs and back-off amount to that. */
#ifdef NO_ASKING
#define may_ask false
#else
#define may_ask (verdict == 0 && !query_sent && answer == 0)
#endif

/* Only a final answer is a verdict. */
inline take_answer() {
  if
  :: answer == RESUMED || answer == NEVER || answer == LOST -> verdict = answer
  :: else
  fi;
  if
  :: answer = 0
  :: stormy
  fi
}

/* One step of acting upon the verdict. The record is the last step, because a session with a final record is not looked
 * at again, while every other step may be repeated. The original is killed task by task, frozen. */
inline settle_original() {
  if
  :: verdict == RESUMED && original == Frozen -> original = Partial
  :: verdict == RESUMED && original == Partial -> original = Gone
  :: verdict == RESUMED && original == Gone ->
       assert(destination == RESUMED);
       append(source, source_disk, DONE);
       verdict = 0; end_worker()
#ifdef ABORTED_BEFORE_THAW
  :: verdict != RESUMED && original == Frozen && source != ABORTED -> append(source, source_disk, ABORTED)
  :: verdict != RESUMED && original == Frozen && source == ABORTED -> run_original()
#else
  :: verdict != RESUMED && original == Frozen -> run_original()
#endif
  :: verdict != RESUMED && original == Running ->
       append(source, source_disk, ABORTED);
       verdict = 0; end_worker()
  :: verdict != RESUMED && original == Partial -> original = Gone
  :: verdict != RESUMED && original == Gone ->  /* LOST: the operator is told that neither host has it */
       assert(excused);
       append(source, source_disk, LOST);
       verdict = 0; end_worker()
  fi
}

active proctype crx_migrate() {
end_crx_migrate:
  do
  /* The destination has prepared: the group is frozen. Or the cutover fails. */
  :: atomic { worker == cutover && prepared_sent -> take(prepared_sent); original = Frozen; worker = decide }
  :: atomic { worker == cutover -> worker = roll_back }

  /* GO is in the journal before Go is sent. */
#ifdef GO_SENT_FIRST
  :: atomic { worker == decide -> to_engine(go_sent); worker = send_go }
  :: atomic { worker == send_go -> append(source, source_disk, GO); worker = await_verdict }
#else
#ifdef GO_FLUSHED
  :: atomic { worker == decide -> append(source, source_disk, GO); worker = send_go }
#else
  :: atomic { worker == decide -> append_unflushed(source, GO); worker = send_go }
#endif
  :: atomic { worker == send_go -> to_engine(go_sent); worker = await_verdict }
#endif

  /* Writing GO fails. The record may exist all the same, but Go has not been sent. */
  :: atomic {
       worker == decide ->
       if
       :: append_unflushed(source, GO)
       :: append(source, source_disk, GO)
       :: skip
       fi;
       worker = roll_back
     }
  :: atomic { worker == roll_back && original != Running -> run_original() }
  :: atomic { worker == roll_back && original == Running -> append(source, source_disk, ABORTED); end_worker() }

  /* After GO every error leads to asking. */
  :: atomic { worker == await_verdict && resumed_sent -> take(resumed_sent); verdict = RESUMED; worker = act }
  :: atomic { worker == await_verdict && never_sent -> take(never_sent); verdict = NEVER; worker = act }
  :: atomic { worker == await_verdict && decided_sent -> take(decided_sent); worker = end_original }
  :: atomic { worker == await_verdict -> worker = ask_for_verdict }
  :: atomic { worker == end_original && original == Frozen -> original = Partial }
  :: atomic { worker == end_original && original == Partial -> original = Gone }
  :: atomic { worker == end_original && original == Gone -> to_engine(ended_sent); worker = await_verdict }
  :: atomic { worker == ask_for_verdict && may_ask -> query_sent = true }
  :: atomic { worker == ask_for_verdict && answer != 0 && verdict == 0 -> take_answer() }
  :: atomic { worker == ask_for_verdict && verdict != 0 -> worker = act }
  :: atomic { worker == act -> settle_original() }
  od
}

/* The guard outlives the worker. It thaws the original unless the journal says GO. */
active proctype guard() {
end_guard:
  do
  :: atomic { guard_up && source_unlocked && source == OPEN && original == Frozen -> run_original() }
  od
}

#ifdef NO_TAKEOVER
#define takes_over false
#else
#define takes_over (source_agent_up && source_unlocked)
#endif
#ifdef GO_FLUSHED
#define asks (source == GO)
#else
#define asks (source == GO || (source == OPEN && original == Gone))  /* also about sessions of an earlier boot */
#endif

/* The crx-agent of the source's host takes over what the tools of its host have not finished: when a tool dies, and
 * when the agent starts. */
active proctype source_agent() {
end_source_agent:
  do
  :: atomic { !source_agent_up -> source_agent_up = true }
  :: atomic { takes_over && source == OPEN && original == Frozen -> run_original() }
  :: atomic { takes_over && source == OPEN && original != Frozen && !asks -> append(source, source_disk, ABORTED) }
  :: atomic { takes_over && asks && may_ask -> query_sent = true }
  :: atomic { takes_over && asks && answer != 0 && verdict == 0 -> take_answer() }
  :: atomic { takes_over && verdict != 0 -> settle_original() }
  od
}

/* ---- Destination ---- */

/* The engine of the session. There is never a second one: a session that has a journal is refused. */
active proctype engine_of_session() {
end_engine_of_session:
  do
  :: atomic {
       engine == Receiving ->
       append_unflushed(destination, PREPARED);
       to_worker(prepared_sent);
       engine = Prepared
     }

  /* A time-out, a lost link, Abort, or any failure: no Go is obeyed any more. */
  :: atomic {
       engine == Receiving || engine == Prepared ->
       append(destination, destination_disk, NEVER);
       to_worker(never_sent);
       end_engine(); copy = Dying
     }

  /* Go decides. */
  :: atomic {
       engine == Prepared && go_sent ->
       take(go_sent);
#ifdef RESUMING_FLUSHED
       append(destination, destination_disk, RESUMING);
#else
       append_unflushed(destination, RESUMING);
#endif
       engine = Resuming
     }

  /* The vessels are released from ptrace one after the other, in a frozen group. */
  :: atomic { engine == Resuming && copy == Traced -> copy = Partial }
  :: atomic { engine == Resuming && copy == Partial -> copy = Frozen; engine = (awaits_end -> await_decided : let_run) }
  :: atomic { engine == await_decided && !asked_to_end -> asked_to_end = true; to_worker(decided_sent) }
  :: atomic { engine == await_decided && asked_to_end && ended_sent -> take(ended_sent); engine = let_run }
  :: atomic { engine == await_decided && asked_to_end -> engine = let_run }  /* the source does not answer in time */

  /* RESUMED is on disk before the thaw. So a journal that ends with RESUMING proves that nothing has run. */
#ifdef RESUMED_AFTER_THAW
  :: atomic { engine == let_run -> run_copy(); engine = report }
  :: atomic {
       engine == report ->
       append(destination, destination_disk, RESUMED);
       to_worker(resumed_sent);
       end_engine()
     }
#else
  :: atomic { engine == let_run && destination == RESUMING -> append(destination, destination_disk, RESUMED) }
  :: atomic { engine == let_run && destination == RESUMED -> run_copy(); engine = report }
  :: atomic { engine == report -> to_worker(resumed_sent); end_engine() }
#endif
  od
}

/* The tree is there if the group has as many tasks as RESUMING says, none is traced, and none has SIGKILL pending. */
#if defined(DYING_IS_THERE)
#define there (copy == Frozen || copy == Dying)
#elif defined(PARTIAL_IS_THERE)
#define there (copy == Frozen || copy == Partial)
#else
#define there (copy == Frozen)
#endif

/* What the supervisor does with a session that no engine serves. */
#define undecided   (destination == OPEN || destination == PREPARED)
#define refuse      (destination_unlocked && undecided)
#define end_partial (destination_unlocked && destination == RESUMING && copy == Partial && !there)
#ifdef NO_LOST
#define give_up     false
#else
#define give_up     (destination_unlocked && destination == RESUMING && copy == Gone)
#endif
#if defined(RESUMED_AFTER_THAW)
#define redo        (destination_unlocked && destination == RESUMING && copy == Running)
#define thaw        (destination_unlocked && destination == RESUMING && there)
#elif defined(NO_THAW_AFTER_RESUMED)
#define redo        (destination_unlocked && destination == RESUMING && there)
#define thaw        false
#else
#define redo        (destination_unlocked && destination == RESUMING && there)
#define thaw        (destination_unlocked && destination == RESUMED && there && copy != Dying)
#endif

/* The supervisor settles a session when its engine has ended, and when it starts itself. It settles before it answers,
 * so what it answers with is in the journal. */
active proctype supervisor() {
end_supervisor:
  do
  :: atomic { !supervisor_up -> supervisor_up = true }
  :: atomic { supervisor_up && refuse -> append(destination, destination_disk, NEVER); to_worker(never_sent) }
  :: atomic { supervisor_up && redo -> append(destination, destination_disk, RESUMED) }
  :: atomic { supervisor_up && thaw -> run_copy() }
  :: atomic { supervisor_up && end_partial -> copy = Gone }
  :: atomic { supervisor_up && give_up -> append(destination, destination_disk, LOST) }

  /* The record cannot be written. The answer is true all the same: no engine will serve the session again, and no task
   * is left. (RESUMED is different: a complete tree waits for the record.) */
  :: atomic { supervisor_up && query_sent && refuse -> take(query_sent); answer = NEVER }
  :: atomic { supervisor_up && query_sent && give_up -> take(query_sent); answer = LOST }
  :: atomic {
       supervisor_up && query_sent && !(refuse || redo || thaw || end_partial || give_up) ->
       take(query_sent);
#ifdef NO_NEVER
       answer = (undecided -> NEVER : destination)
#else
       answer = destination
#endif
     }
  od
}

/* The destination's kernel ends tasks that have been killed. */
active proctype kernel() {
end_kernel:
  do
  :: atomic { copy == Dying -> copy = Gone }
  od
}

/* Time goes on when no actor has anything to do. The formula speaks of endless runs, and this step makes a run endless
 * that comes to a standstill. */
active proctype time() {
  do
  :: !stormy
  od
}

#include "storm.pml"
