use simops::event::kind;
use super::super::telling::kind as told;
use super::*;
#[test]
fn survey() {
    for seed in [42, 1, 2, 3, 4, 5] {
        let mut play = Play::new(50, seed);
        play.live_days(200);
        let n = |k: &str| play.count(k);
        println!("seed {seed}: {} live, died {}, hungry {}, dormant {}, prop {}, laws {}, votes {}, sanc {}, gifts {}, trades {}, posts {}, work {}",
          play.society().living().count(), n(told::AGENT_DIED), n(told::AGENT_HUNGRY), n(told::AGENT_DORMANT), n(kind::PROPOSAL_CREATED), n(told::LAW_PASSED), n(kind::VOTE_CAST), n(told::SANCTION), n(told::GIFT), n(told::TRADE), n(kind::FORUM_POST), n(told::WORK));
    }
}
