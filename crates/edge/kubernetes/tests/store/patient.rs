//! What waits for leases and deadlines, all of it at once: each alone would keep a core from others and do nothing. Nothing
//! here may block, for all of it is one task.

use crate::{late, wake_ups};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_run_out_and_nothing_comes_late() {
    tokio::join!(
        late::what_a_former_leader_prepared_is_refused(),
        late::what_was_prepared_before_a_hand_over_is_refused(),
        late::nobody_leads_before_the_door_is_closed(),
        late::lost_answers_are_found_out(),
        wake_ups::changes_wake_the_loop_and_so_does_the_end_of_a_lease(),
    );
}
