/*
 * Known-bad variants: places where a simulator, or a unit test, breaks a rule on purpose
 * to prove that its checks notice.  RMQ_VARIANT(NAME) is the constant 0 everywhere but
 * in the copy of lib/core that is built for them.
 */
#ifndef RMQ_CORE_BASE_VARIANT_H
#define RMQ_CORE_BASE_VARIANT_H

/* Those of consensus, for tests/sim_raft. */
/* clang-format off */
#define RMQ_RAFT_VARIANTS(X) \
	X(VOTE_FORGOTTEN, "a vote is not stored") \
	X(VOTE_EARLY, "a vote is given before it is durable") \
	X(ACK_EARLY, "records are acknowledged before they are durable") \
	X(ACK_UNVERIFIED, "records are acknowledged that were not compared with the leader's") \
	X(COMMIT_OLD_TERM, "records of older terms are committed by counting") \
	X(NO_NOOP, "a leader begins without a record of its own term") \
	X(COMMIT_UNCLAMPED, "a follower commits more than this message verified") \
	X(HOLE_AT_APPEND_LEADER, "a leader makes holes when END is appended") \
	X(HOLE_AT_APPEND_FOLLOWER, "a follower makes holes when END is appended") \
	X(HOLE_RAW_COMMIT, "a follower makes holes by the leader's commit index") \
	X(CONFIG_HOLES, "records of the configuration become holes") \
	X(HOLE_UNCHECKED, "holes are taken without comparing what comes before them") \
	X(HOLE_LAST_TERM, "a range of holes has the term of its last record") \
	X(HOLE_BEFORE_COVER, "holes are stored before their cover") \
	X(TWO_CONFIGS, "a change of membership begins before the last one is committed") \
	X(BARRIER_WITHOUT_ROUND, "a barrier is answered without asking anyone") \
	X(LEARNER_AHEAD, "a learner is sent records before they are committed") \
	X(ABSTAIN_CAMPAIGNS, "a node that abstains campaigns") \
	X(LEADER_KEPT, "who does not campaign follows a leader that says nothing any more") \
	X(BAD_SERVED, "a record that has gone bad on disk is sent to others") \
	X(INDEX_UNCHECKED, "a record that was written to the wrong place is taken for the one there") \
	X(FORGOTTEN_VOTES, "a node whose disk has forgotten what it had stored gives its vote") \
	X(FORGOT_UNSTORED, "who is told that it has forgotten knows that only as long as it runs") \
	X(FORGOTTEN_UNTOLD, "it votes again though others may hold a vote that it forgot") \
	X(FORGOTTEN_UNFILLED, "it votes again before it holds what it had stored") \
	X(FORGOTTEN_ACKS, "it acknowledges records to leaders of the past") \
	X(LOST_COUNTED, "a leader counts on what it has forgotten") \
	X(TAIL_COUNTS, "records of older terms count as stored for the leader of this one") \
	X(HEALED_FORGETS, "who votes again says that it began with what was put back") \
	X(NEW_VOTES, "a node votes before those have let it in who know its disk") \
	X(RECOVERED_AS_BEFORE, "a recovered cluster is the one that it was, as its nodes know it") \
	X(RECOVERED_UNCOVERED, "a log that lacks the checkpoint of its holes is recovered from") \
	X(RECOVERED_UNHEARD, "who follows a leader of a lost cluster passes over that it was recovered") \
	X(DIED_UNCHECKED, "what died at the leader becomes holes where the log is another one") \
	X(DIED_UNCOVERED, "holes are made as the leader has them, without its cover") \
	X(SENT_AGAIN, "records that are late are sent again, behind their first copies") \
	X(WINDOW_WIDE, "more is sent at once than a slow link carries in long") \
	X(RECORDS_UNHEARD, "records that are on their way are no word of the leader") \
	X(HEARD_FOR_EVER, "they are for as long as bytes come") \
	X(LEADER_WAITED_FOR, "a leader that stands for election again is waited for")

/* Those of a database that votes (host/database.h), for tests/sim_raft as well. */
#define RMQ_DATABASE_VARIANTS(X) \
	X(VOTE_UNKNOWN_GIVEN, "a vote is given though it is not known whether the term was taken") \
	X(UNKNOWN_IS_DONE, "records whose statement was not answered count as confirmed") \
	X(ROUND_UNASKED, "a round is answered by a statement that began before it, or by none") \
	X(LEASE_IS_PROOF, "it is while the lease lasts, by the clock of the node") \
	X(OTHER_UNFED, "a log that lacks the table's last record under a newer one is not fed") \
	X(OLDER_SERVED, "a server that has lost what was confirmed is served from") \
	X(FED_ALL_COMMITTED, "all that the table holds counts as committed") \
	X(FED_IS_VERIFIED, "what was compared with the table counts as compared with the leader's log") \
	X(TABLE_UNFENCED, "a statement does not ask whether this node leads") \
	X(TABLE_LOG_UNASKED, "a term is taken whatever the log of who takes it") \
	X(TABLE_PLACE_UNASKED, "records are put into the table whatever comes before them") \
	X(ADOPTED_AS_BEFORE, "who adopts a log lets its members be") \
	X(TABLE_ADOPTED_LEASED, "a log is adopted while a node leads, by its lease")

/* Those of the queue core, for tests/sim. */
#define RMQ_QUEUE_VARIANTS(X) \
	X(RIGHTS_UNASKED, "what a connection may do is not asked") \
	X(RIGHTS_FIRST, "only the first need of a frame is asked for") \
	X(RIGHTS_TELL, "what may not be done is refused otherwise if there is no such queue") \
	X(RIGHTS_LISTED, "rows are of all queues, whatever is granted") \
	X(RIGHTS_PLACE, "the place to go on from is a name that may not be known") \
	X(KV_UNASKED, "the version that a change of the map asks for is not compared") \
	X(KV_REPEATED, "a change of the map that comes again is made again") \
	X(KV_EARLY, "what the map holds is told before it is durable, and without a barrier") \
	X(KV_UNWRITTEN, "a checkpoint has nothing of the map") \
	X(KV_CUT_OFF, "only the first piece of the map is written") \
	X(KV_BEHIND, "a reader of the map that is not told of deletions is not told that either") \
	X(KV_UNTOLD, "who waits for changes is not told of those that one turn was too short for") \
	X(KV_LOST_DELETED, "a reader is not told of what is deleted while its connection is lost") \
	X(EFFECT_EARLY, "an effect leaves before its event is durable") \
	X(DUPLICATE_EARLY, "a repeated command is answered before it is durable") \
	X(GAP, "a gap in the numbers of a session is accepted") \
	X(END_KILLS_LIVE, "END declares records dead that hold live bodies") \
	X(END_BEHIND_PARTS, "END declares records dead that come after one of its parts") \
	X(PARTS_UNCUT, "recovery takes the first piece of a queue for its whole part") \
	X(SESSIONS_CUT_OFF, "recovery passes over what sessions did after their piece") \
	X(PARTS_AT_END, "recovery takes parts as if they were made at END") \
	X(HISTORY_CUT, "a message's history does not say that it was settled") \
	X(HISTORY_SHADOWS, "it tells what covers the number of a message that is not there") \
	X(PAUSE_LEAKS, "a paused queue is handed out") \
	X(INFLIGHT_PASSED, "more messages are leased at once than the queue allows") \
	X(KEYS_TO_ANY, "a queue that hands out by key gives a message to whoever asks first") \
	X(KEYS_RESHUFFLED, "all keys change hands with the number of receivers") \
	X(RATE_UNCOUNTED, "hand-outs do not count for the queue's rate") \
	X(RATE_FORGOTTEN, "a checkpoint has not what was handed out lately") \
	X(LEASE_REUSED, "lease numbers begin anew after a recovery") \
	X(SESSIONS_BY_TERM, "session ids begin anew when the journal is opened in the same term") \
	X(DUE_BY_OWN, "a checkpoint is due by the records of the one before") \
	X(MOVE_UNJUDGED, "records move that do not shrink") \
	X(SESSION_TAKEN_OVER, "a session goes on with whoever names it and has its token") \
	X(TOKEN_UNCHECKED, "the number of a session is enough to go on with it") \
	X(OWNER_UNWRITTEN, "whose a session is does not outlive the daemon") \
	X(SESSIONS_REVIVED, "recovery keeps sessions that the sessions' part does not name") \
	X(STALE_SETTLES, "a receipt of an old lease settles") \
	X(STARTED_UNCOUNTED, "the end of a lease is no failure of what has reached its reader") \
	X(POSITION_UNCHECKED, "records of an input are stored that another run has stored") \
	X(SEVERAL_APART, \
	    "a large message comes to those of its queues from which it has not gone") \
	X(IDS_UNCHECKED, "a message is stored again though its id is known") \
	X(IDS_CUT_OFF, "of a queue's ids a checkpoint has those of the first piece") \
	X(IDS_TURNED, "ids of a checkpoint are remembered in the wrong order") \
	X(IDS_REVIVED, "ids that were forgotten come back when a daemon starts") \
	X(IDS_UNBOUNDED, "queues remember more ids together than they may") \
	X(IDS_FORGOTTEN, "a checkpoint does not know ids of what was sent") \
	X(IDS_RENUMBERED, "after a checkpoint an id is another message's") \
	X(POSITION_OF_ONE_RUN, "which messages of an input earlier runs sent is forgotten") \
	X(POSITION_ALL_STORED, "records of an input that were skipped as bad pass for stored") \
	X(POSITION_FORGOTTEN, "a checkpoint does not know how far an input has come") \
	X(NOTE_OF_FIRST, "dead letters that were buried together have the first one's note") \
	X(TRANSFER_APART, "what is moved comes and leaves in two records") \
	X(TRANSFER_LEASED, "messages are moved from under their holder") \
	X(REDRIVES_FORGOTTEN, "a dead letter forgets how often it went back") \
	X(PURGE_HALF, "a purge is answered with its first piece") \
	X(HELD_HALF, "what a session holds that ends is given back or fails in a first piece only") \
	X(EXTEND_FORGOTTEN, "an EXTEND does not move the end of what its session holds") \
	X(SILENCE_BORNE, "a client stays with a daemon that says nothing any more") \
	X(BYE_UNSAID, "a client that ends while it has no connection leaves what it holds") \
	X(LOST_NEIGHBOUR, "what is lost takes the message after it along") \
	X(LOST_UNTOLD, "a holder is not told that what it holds is lost") \
	X(LOST_UNPAID, "a receiver pays for what was lost") \
	X(EXPIRE_UNHEARD, "leases end before what clients have sent is read") \
	X(ENDED_UNJUDGED, "a holder is told of a settlement before it is judged") \
	X(ENDED_UNTOLD, "a holder is not told that its lease is over") \
	X(IDLE_UNTOLD, "only an empty queue is told as idle") \
	X(IDLE_EARLY, "a queue is told as idle while messages of it are ready") \
	X(AGAIN_UNORDERED, "what is held is handed again by leases, newest first") \
	X(RESERVE_FIXED, "what is kept back for draining does not grow with the state") \
	X(BACK_OFF_BY_WALL, "a back-off ends by the wall clock") \
	X(DELAY_BY_WALL, "what is given back with a delay is ready again by the wall clock") \
	X(DEAD_INHERITS, "dead letters keep their failures in a queue that counts") \
	X(DEAD_ELSEWHERE, "dead letters go to NAME.dead, whatever the queue's setting says") \
	X(DEAD_ROUND, "a queue may have itself, in the end, for its dead letters") \
	X(GRANTS_FORGOTTEN, "who has as many leases waiting as it may is given no more for ever") \
	X(AGAIN_LAST, "what is held is handed again after what is new") \
	X(SHARED_ONCE, "a record is named dead once one of the queues that share it is done") \
	X(MOVE_UNSHARED, "what moves is not shared any more") \
	X(SHARED_RUNS_ON, "a run goes on in events of other queues than its first one's") \
	X(TOPIC_FIRST, "what is sent to a topic comes to one of the queues that are bound") \
	X(TOPIC_AT_LAST, "a large message comes to those that are bound at its last piece") \
	X(EPHEMERAL_EARLY, "an ephemeral subscription ends with its connection") \
	X(EPHEMERAL_STAYS, "its queue outlives its receiver") \
	X(EPHEMERAL_FORGOTTEN, "a checkpoint forgets that a queue is one") \
	X(EPHEMERAL_REMADE, "one that has ended is made anew when its receiver comes back") \
	X(WATCH_EARLY, "who waits for a queue is told while messages are leased") \
	X(WATCH_FORGOTTEN, "a client that waits for one does not ask again after a reconnection") \
	X(UNBOUND_STILL, "a queue gets what comes to a topic after it was unbound") \
	X(BINDINGS_UNWRITTEN, "checkpoints have no bindings") \
	X(DELAY_UNSEEN, "messages are handed out before their time") \
	X(DELAY_FORGOTTEN, "a checkpoint forgets that a delay ends by the wall clock") \
	X(PRIORITY_UNSEEN, "what is older is handed out before what has a higher priority") \
	X(PRIORITY_FORGOTTEN, "a checkpoint forgets priorities") \
	X(MIX_FORGOTTEN, "a checkpoint forgets those of a range that has several") \
	X(PRIORITY_OF_DEAD, "dead letters lose their priority") \
	X(KEYS_UNSEEN, "two messages of a key are leased at a time") \
	X(KEYS_FORGOTTEN, "a checkpoint forgets the keys of messages") \
	X(KEYS_OF_DEAD, "dead letters lose their keys") \
	X(REPLACE_LEASED, "what is replaced is taken from its holder") \
	X(REPLACE_APART, "what is replaced goes in another record than what replaces it") \
	X(EXPIRY_UNSEEN, "messages are handed out after they have expired") \
	X(EXPIRY_OF_HELD, "what is held when it expires is handed out again") \
	X(EXPIRY_STAYS_BEHIND, "a message that is moved forgets when it expires") \
	X(EXPIRY_DISOWNED, "a checkpoint forgets who said when messages expire") \
	X(EXPIRY_FORGOTTEN, "a checkpoint forgets when messages expire") \
	X(EXPIRY_OF_ALL, "what is held when it expires is taken from its holder") \
	X(CANCEL_UNTOLD, "a holder is not told that what it holds was cancelled") \
	X(CANCEL_NEIGHBOUR, "what is cancelled takes the message after it along") \
	X(SETTLE_SEND_APART, "what is settled and sent in one command is in two records") \
	X(STALE_SENDS, "what came of a lease that is over is sent") \
	X(GONE_SENDS, "what came of a message that is gone is sent")

/*
 * Those of a node between its queue daemon and consensus, for tests/sim_cluster; with the rules
 * that find them, parted by '|'.
 */
#define RMQ_HOST_VARIANTS(X) \
	X(STORED_AT_APPEND, "STORED is told when a record is proposed", \
	    "the disk|not on disk|is delivered under lease") \
	X(STORED_BEFORE_DISK, "what a majority has is taken to be on this node's disk", \
	    "is not there|HOLED") \
	X(BARRIER_LOCAL, "a barrier is answered by the leader alone", "a barrier is answered") \
	X(EFFECTS_RELEASED, "all that waits is let out when leadership goes", \
	    "the disk|not on disk|is delivered under lease|WELCOME") \
	X(HOLES_OF_LEADER, "only the leader makes holes", \
	    "records are left|members hold different records") \
	X(DEAD_ONCE, "what died is named by one END only", "members hold different records") \
	X(ENDS_CUT, "of each END, holes are made in one turn only", "HOLED|records are left") \
	X(TRUNCATED_COUNTS, "what was truncated counts against the room", "room for") \
	X(TAIL_IS_ALL, "a voter lacks no more than what is in memory", "room for") \
	X(ROOM_OF_DEAD, "the last word of a voter that is gone counts as its room", \
	    "room for") \
	X(ROOM_ELSEWHERE, "the leader takes in what its own disk has no room for", "room for") \
	X(ROOM_UNTOLD, "room that comes back is told with the next record only", \
	    "the calm does not end|room for") \
	X(QUEUE_OUTLIVES, "the queue daemon lives on when leadership goes", "the disk|record") \
	X(START_EARLY, "it starts before all that was proposed is committed", \
	    "the disk|record") \
	X(REMOVED_UNCHECKED, "a member is removed though too few of the others answer", \
	    "after a removal nothing is committed") \
	X(LEAVES_AT_ONCE, "a member that leaves is removed before it has handed over", \
	    "before it has handed over") \
	X(LEAVING_FORGOTTEN, "who leads anew does not go on with a member that exits", \
	    "has not left") \
	X(REMOVED_REJOINS, "an incarnation that was removed is let in again", \
	    "is let in again") \
	X(REFUSED_IS_DONE, "a removal that is refused is told as one of a node that is no member", \
	    "is told to be removed") \
	X(REPLACED_ALIVE, "a node that is up is replaced", "is replaced, and is up") \
	X(REPLACED_ANEW, "a replacement that comes again takes out who has come", \
	    "is replaced again") \
	X(SILENT_LIVES, "a queue daemon that does not answer lives on", "illness stops") \
	X(STARTING_TRUSTED, "a queue daemon that hangs as it starts is left alone", \
	    "illness stops") \
	X(LINGERER_LEADS, "a leader whose queue daemon was killed and does not end leads on", \
	    "illness stops") \
	X(DISK_TRUSTED, "a leader whose disk hangs leads on", "illness stops") \
	X(LINKS_TRUSTED, "a leader whose records reach nobody leads on", "illness stops") \
	X(GATE_TRUSTED, "a leader whose gate the others do not reach leads on", \
	    "illness stops") \
	X(HINT_CUTS, "who is linked is by the newest configuration that anybody told", \
	    "which is a member") \
	X(TOLD_UNCOMMITTED, "others are told of members before that is committed", \
	    "which is not committed") \
	X(PLACE_OF_CONFIG, "a node is looked for where the configuration says only", \
	    "the calm|no leader|do not catch up|is committed") \
	X(PLACES_UNTOLD, "where others say that a node is is not believed", \
	    "the calm|no leader|do not catch up|is committed") \
	X(FOUND_EARLY, "a node makes a cluster before all its seeds have answered", \
	    "makes a second cluster") \
	X(ANSWERS_OUTLIVE, "what seeds have answered counts for a later command as well", \
	    "makes a second cluster") \
	X(ANSWERS_OLD, "what seeds have answered counts however long ago that was", \
	    "makes a second cluster") \
	X(CLAIM_UNSAID, "a node that is making a cluster says that it knows none", \
	    "makes a second cluster") \
	X(CLAIM_OUTLIVES, "a node whose command is gone says that it is making a cluster", \
	    "makes no cluster") \
	X(UP_BY_LINKS, "a member whose links are up is up, however long it says nothing", \
	    "is up for") \
	X(BEATS_UNHEARD, "a member is suspected though its heartbeats come", "is suspected by") \
	X(SETTINGS_UNASKED, "a node is let in whatever its settings are", "with other settings") \
	X(OPINION_OF_ONE, "who one node alone does not hear is unreachable", \
	    "is unreachable for") \
	X(SILENCE_TRUSTED, "who says nothing any more is not suspected", \
	    "is not suspected by") \
	X(LEVEL_OF_AWAY, "members that are away do not hold back the level of records", \
	    "does not read") \
	X(LEVEL_OF_LEADER, "the level is raised once the leader reads it", "does not read") \
	X(LEVEL_UNASKED, "a node joins that does not read what the cluster writes", \
	    "does not read") \
	X(STEPS_UNTOLD, "of a member's steps that are seen at once only the last is told", \
	    "out of order") \
	X(TOLD_TWICE, "what a snapshot holds is told again after it", "out of order|twice|after") \
	X(HELLO_LATE, "the HELLO of a process that has ended counts", "older than it was") \
	X(HELLO_OF_SAME, "what a process says counts against what it began with", \
	    "older than it was") \
	X(DISK_FORGETS, "a restart loses what was durable last", "older than it was") \
	X(DEADLY_RESTARTED, "what a record kills on two nodes is started again", \
	    "is started again") \
	X(ANY_END_DEADLY, "a queue daemon that is killed, or says why it ends, counts as crashed", \
	    "it could run") \
	X(PLACE_STAYS, "one that has read the whole log counts as reading it", "it could run") \
	X(FAILED_TAKEN, "a leader that is ill hands over to one whose queue daemon has just failed", \
	    "is tried again") \
	X(DRAINS_FIRST, "who is told to end waits for its queue daemon before it hands over", \
	    "is told to end, and leads on") \
	X(TAKES_ALL, "a follower takes what its disk has no room for", \
	    "nodes do not catch up|a full disk does not catch up") \
	X(FULL_LEADS, "a leader whose disk is full leads on", "illness stops") \
	X(HOLES_UNWANTED, "nobody asks for a checkpoint when a member waits for room", \
	    "a full disk does not catch up") \
	X(FETCH_UNVERIFIED, "a record is taken as a peer has it, good or bad", "log matching") \
	X(FETCH_UNCOMMITTED, "a record is taken from a peer for which it is not committed", \
	    "log matching|is read, and it is bad") \
	X(UNRELIEVED, "a follower that is full makes holes only by the ENDs that it has", \
	    "nodes do not catch up|a full disk does not catch up|a member is not up") \
	X(LATCH_FORGOTTEN, "a leader waits for min-members though they were all up before", \
	    "waits for members again") \
	X(LATCH_UNCOMMITTED, "the queue starts before it is committed that members were up", \
	    "waits for members again") \
	X(RECOVERED_TIMELESS, "a recovered log does not say that time was lost", "is given again") \
	X(LEAVING_COUNTED, "who is to leave counts on members that leave as well", "has not left") \
	X(LEAVES_DEAD, "a member that is dead is told to leave", "to leave, and is dead") \
	X(LAST_BROKER_GOES, "the last voter that may run the queue daemon is removed", \
	    "no voter is left that may|nodes do not catch up|the calm does not end") \
	X(ROLES_UNSEEN, "a leader without the role broker runs the queue daemon", \
	    "runs without the role") \
	X(ROLES_KEPT, "a leader without that role leads on", \
	    "the calm does not end|nobody leads|illness stops|nodes do not catch up") \
	X(ROOM_LEVEL_UNTOLD, "room that is used up and freed again is not told anew", \
	    "senders wait for room")

/* Those that are found in minutes only. */
#define RMQ_HOST_RARE_VARIANTS(X) \
	X(LEADS_ALL, "a leader appends what its disk has no room for", \
	    "nodes do not catch up|a full disk does not catch up") \
	X(REMOVED_UNSTORED, "a member is removed though too few of the others store any more", \
	    "after a removal nothing is committed") \
	X(SEEDS_UNASKED, "a member whom nobody leads does not ask its seeds", \
	    "the calm|no leader|do not catch up|is committed") \
	X(FAILURES_UNTOLD, "who cannot run the queue daemon is handed leadership again", \
	    "it could run") \
	X(SPENT_LEADS, "a leader whose disk has no room for any record leads on", \
	    "illness stops")

/* Those of many cells, for tests/sim_cells. */
#define RMQ_CELLS_VARIANTS(X) \
	X(GONE_UNFROZEN, "a queue is let go while more may come to it") \
	X(GONE_BY_ANY, "who has not frozen a queue may let it go") \
	X(HOLD_OUTLIVES, "a hold does not end with its connection") \
	X(HOLD_HANDS_OUT, "what is held to be moved is handed out") \
	X(HELD_LOSES, "what may be copied already is cancelled and purged") \
	X(OPEN_ANY, "a copy is opened with another token than its own") \
	X(FOLLOW_UNASKED, "a way is made to lead to where the queue may be no more") \
	X(AWAY_FORGOTTEN, "a checkpoint forgets where queues have gone") \
	X(COPIES_FORGOTTEN, "a checkpoint forgets that a queue is a copy that arrives") \
	X(BINDINGS_STAY, "what a queue is bound to does not go with it") \
	X(IDS_STAY, "the ids that a queue remembers do not go with it") \
	X(NUMBERS_STAY, "a queue that was moved numbers anew") \
	X(FROZEN_TAKES, "a queue that is frozen takes messages") \
	X(FURTHER_HERE, "what is for a queue elsewhere makes one here") \
	X(OPEN_KEEPS, "a copy that was given up can still be opened") \
	X(BEGIN_DROPS, "a copy that begins drops those of others") \
	X(LEASES_STAY, "a lease of the cell before settles what is leased in this one") \
	X(DROP_UNASKED, "a copy is dropped before all other cells were asked") \
	X(DROP_GONE, "a copy is dropped to which another cell has let go") \
	X(LEFT_REVIVED, "a checkpoint forgets that a queue has gone") \
	X(GONE_APART, "that a queue has left is stored before where it is") \
	X(AWAY_BOUND_STILL, "what is for other cells hears topics while its queue is here") \
	X(MOVER_UNFROZEN, "a mover copies the rest before it freezes the queue") \
	X(FORWARD_EARLY, "what is for a queue elsewhere is settled before it is stored there")

/*
 * Those of many cells that a unit test finds, which is named with each (tests/unit/run).  A simulator does not
 * come to them: another rule stops them, or, GUARD_FIRST, an answer would have to be lost just before a
 * queue goes, and its client to stay away until it has gone.
 */
#define RMQ_UNIT_VARIANTS(X) \
	X(ROAMS_EARLY, "a client goes on elsewhere before all that it sent is answered", \
	    "it_stays_until_all_that_flew_is_answered") \
	X(MOVER_UNWAITING, "a mover copies while messages are leased", \
	    "it_waits_until_nothing_is_leased") \
	X(MOVER_UNBOUND, "a mover relies on what is bound at the other cell", \
	    "what_it_is_bound_to_is_bound_for_it_there_before_it_goes") \
	X(OPEN_CHANGED, "a copy is opened though its cell leads elsewhere than was read", \
	    "of_two_at_once_one_decides_also_where_it_is_at_home") \
	X(PLACER_UNASKED, "a queue is placed though another cell has it", \
	    "what_another_cell_has_is_not_left_behind") \
	X(PLACER_ONCE, "a queue is placed by what cells said one after the other", \
	    "what_moves_while_all_are_asked_is_seen") \
	X(PLACER_UNLOOKED, "a queue is placed though it was made elsewhere meanwhile", \
	    "what_is_made_meanwhile_is_not_lost") \
	X(PLACER_UNREAD, "a queue is placed though its home was led elsewhere meanwhile", \
	    "of_two_at_once_one_decides") \
	X(GONE_LEASED, "a queue is let go while messages of it are leased", \
	    "what_is_leased_or_was_made_since_does_not_go") \
	X(HOLD_SHARED, "two hold a queue at once", "one_connection_alone_moves_a_queue") \
	X(MADE_BESIDE_COPY, "a queue is made while a copy of it arrives", \
	    "nothing_is_made_beside_a_copy") \
	X(DROP_ANY, "a mover drops a copy that came from another cell than its own", \
	    "what_came_from_another_cell_is_not_dropped") \
	X(OPEN_DROPS, "a copy that is opened drops what came from another cell", \
	    "what_came_from_another_cell_is_not_dropped") \
	X(FOLLOW_ANY, "a way is made to lead elsewhere though it has changed", \
	    "a_place_leads_on_to_another_cell_only_if_it_is_what_was_read") \
	X(HERE_TIDIED, "that a queue came is forgotten where its home is", \
	    "what_came_home_stays_here_when_its_home_changes") \
	X(GUARD_FIRST, "a command that was taken is refused when its queue has gone since", \
	    "a_command_that_was_taken_is_answered_though_its_queue_has_gone")

#define RMQ_VARIANTS_LIST(X) \
	RMQ_QUEUE_VARIANTS(X) RMQ_RAFT_VARIANTS(X) RMQ_DATABASE_VARIANTS(X) RMQ_CELLS_VARIANTS(X)
/* clang-format on */

#ifdef RMQ_VARIANTS
enum rmq_variant {
	RMQ_VARIANT_NONE,
#define X(name, text) RMQ_VARIANT_##name,
	RMQ_VARIANTS_LIST(X)
#undef X
#define X(name, text, rule) RMQ_VARIANT_##name,
	    RMQ_HOST_VARIANTS(X) RMQ_HOST_RARE_VARIANTS(X) RMQ_UNIT_VARIANTS(X)
#undef X
};
extern enum rmq_variant rmq_variant;
#define RMQ_VARIANT(name) (rmq_variant == RMQ_VARIANT_##name)
#else
#define RMQ_VARIANT(name) 0
#endif

#endif
