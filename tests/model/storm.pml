/* The second half of commit.pml, which includes it: the storm of crashes and losses, and what has to hold after it. */

/* After a crash of the host a record that was not flushed may be there or not. */
inline reread(journal, disk) {
  if
  :: journal = disk
  :: disk = journal
  fi
}

inline kill_worker() {
  end_worker();
  verdict = 0;
  if
  :: original == Traced -> run_original()
  :: else
  fi
}

inline kill_source_agent() {
  source_agent_up = false;
  verdict = (source_unlocked -> 0 : verdict)
}

inline kill_engine() {
  end_engine();
  if
  :: copy == Traced -> copy = Dying
  :: else  /* Partial: the tasks that have been released stay */
  fi
}

/* Only journals survive. A tree that is complete at the destination has to go on there. */
inline crash_source_host() {
  excused = excused || (original != Gone && copy != Frozen && copy != Running);
  original = Gone;
  end_worker(); guard_up = false; source_agent_up = false;
  verdict = 0;
  reread(source, source_disk)
}

/* The source has to run its original again, unless the copy was the one that counted. */
inline crash_destination_host() {
  excused = excused || copy_ran || destination == RESUMED || asked_to_end || original == Gone;
  copy = Gone;
  end_engine(); supervisor_up = false;
  reread(destination, destination_disk)
}

active proctype storm() {
  if
  :: awaits_end = true
  :: awaits_end = false
  fi;
  do
  :: atomic { worker != ended -> kill_worker() }
  :: atomic { guard_up -> guard_up = false }
  :: atomic { source_agent_up -> kill_source_agent() }
  :: atomic { engine != ended -> kill_engine() }
  :: atomic { supervisor_up -> supervisor_up = false }
  :: atomic { crash_source_host() }
  :: atomic { crash_destination_host() }
  :: atomic { copy == Running -> copy = Gone; copy_ended = true }
  :: atomic { prepared_sent -> prepared_sent = false }
  :: atomic { go_sent -> go_sent = false }
  :: atomic { never_sent -> never_sent = false }
  :: atomic { decided_sent -> decided_sent = false }
  :: atomic { ended_sent -> ended_sent = false }
  :: atomic { resumed_sent -> resumed_sent = false }
  :: atomic { query_sent -> query_sent = false }
  :: atomic { answer != 0 -> answer = 0 }
  :: stormy = false; break
  od
}

/* ---- Liveness ---- */

#define source_final      (source == DONE || source == ABORTED || source == LOST)
#define destination_final (destination == RESUMED || destination == NEVER || destination == LOST)
#define nothing_stopped   ((original == Running || original == Gone) && (copy == Running || copy == Gone))
#define one_is_left       ((original == Running) != (copy == Running) || copy_ended || excused)
#define journals_agree    ((source == DONE) == (destination == RESUMED))
#define settled           (source_final && destination_final && journals_agree && nothing_stopped && one_is_left)

ltl settles { [] (!stormy -> <> [] settled) }
