//! A server that nobody here wrote: Starlet, as the shipped pair starts it.

use crate::app::SOON;
use crate::support::load::{Load, Plan};
use crate::support::requirement;
use crate::support::rig::Rig;
use crate::support::wait;

/// Answers as the test worker does, so that the load client knows the generation.
const PSGI: &str = r#"
my $body = "hello from generation $ENV{SERVER_STARTER_GENERATION} (psgi, pid $$)\n";
sub { [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $body], [$body]] };
"#;

#[test]
fn starlet_under_the_shipped_pair_is_reloaded_ten_times_under_load() {
    let Some(rig) = Rig::boot() else { return };
    for needed in [
        "/usr/bin/plackup",
        "/usr/share/perl5/Plack/Handler/Starlet.pm",
    ] {
        if !requirement::file(needed, "starlet libplack-perl") {
            return;
        }
    }
    rig.write("/srv/app/app.psgi", PSGI, 0o644);
    rig.drop_in(
        "app.socket",
        "[Socket]\nListenStream=\nListenStream=0.0.0.0:8081\n",
    );
    rig.ok(&["systemctl", "start", "app.socket"]);
    let load = Load::start(
        &rig.tcp(8081),
        Plan {
            new_per_second: 50,
            ..Plan::default()
        },
    );
    load.wait_for_generation(1, SOON);
    // Starlet answers before it is believed in, and a reload while the service starts is no reload.
    wait::for_value("the service", SOON, "active", || {
        rig.property("app", "ActiveState")
    });
    for reload in 1..=10 {
        rig.ok(&["systemctl", "reload", "app"]);
        // It is believed in after a second. On a busy machine it has not booted by then, and the next
        // reload would end it before it has answered anybody.
        load.wait_for_generation(reload + 1, SOON);
    }
    let report = load.stop();
    println!("Starlet, 10 reloads\n{report}");
    report.assert_no_failures();
    assert_eq!(rig.property("app", "ActiveState"), "active");
}
