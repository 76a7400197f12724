//! What a world must do on every engine. The native engine's own tests say more, to the microsecond;
//! these allow for what a carrier adds, and run on all three.

pub mod log;
pub mod network;
pub mod process;
pub mod talk;
pub mod time;
pub mod toy;

/// Makes a test of each check; `$make` is `fn(Options) -> impl Simulation` and is called once per thread.
macro_rules! tests_of_every_engine {
    ($make:path) => {
        tests_of_every_engine! { $make:
            process: a_kill_resets_connections_and_frees_the_port_for_the_restart,
                a_silent_death_shows_only_when_the_machine_is_back_and_spoken_to,
                a_kill_keeps_the_page_cache, a_power_loss_may_lose_what_was_not_synced,
                a_kill_drops_all_tasks_of_the_process_at_once_and_no_other,
                a_paused_process_runs_nothing_and_finds_all_messages_after,
                a_process_whose_main_task_returns_has_exited, a_controlled_stop_gives_time_and_then_kills,
                a_process_that_does_not_listen_for_it_is_killed_by_a_stop, a_task_may_kill_its_own_process,
                a_panic_ends_the_run_and_tells_where, a_stop_ends_the_run, faults_come_through_the_world;
            network: what_a_partition_keeps_arrives_in_order_after_the_heal, a_one_way_cut_stops_one_direction,
                what_is_held_arrives_on_release, a_connect_over_a_cut_link_waits_for_it,
                a_reset_reaches_both_ends, a_half_open_connection_is_silent_for_ever_and_new_ones_work,
                random_resets_break_connections, a_refusing_link_refuses, a_slow_link_is_slow,
                a_hundred_clients_connect_at_once, a_frame_rule_delays_one_frame,
                a_frame_rule_breaks_the_connection, frame_rules_need_a_classifier;
            time: a_drifting_clock_ends_sleeps_early_or_late, a_jump_moves_the_wall_clock_only,
                a_stalled_disk_lets_syncs_wait, a_slow_disk_blocks_the_process,
                every_step_is_shown_to_the_hook, a_condition_ends_a_run, runs_go_on;
            toy: produces_reach_both_followers;
        }
    };
    ($make:path: $($module:ident: $($name:ident),*;)*) => {
        $($(#[test]
        fn $name() {
            suite::$module::$name($make);
        })*)*
    };
}
