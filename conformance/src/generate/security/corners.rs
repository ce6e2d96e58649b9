//! Situations that chance alone seldom makes: rights that stand beside the one that decides, and links
//! behind links (PSD-005 §2.3, §3.1).

use proptest::prelude::*;

use super::super::{Generator, HANDLES};
use super::descriptors::bytes_of;
use crate::plan::{Action, Handle, KeyReference, Text};
use crate::sddl;

/// DACLs by which others may create keys, and mostly no links.
const WITHOUT_LINKS: &[&str] = &[
    "D:(A;CI;KA;;;SY)(A;;KW;;;WD)",
    "D:(A;CI;KA;;;SY)(A;;KWKR;;;WD)",
    "D:(D;;WP;;;WD)(A;CI;KA;;;WD)",
    "D:(A;CI;KA;;;SY)(A;;LC;;;WD)",
    "D:(A;CI;KA;;;WD)",
];
/// DACLs that name the right to the SACL, which no DACL grants.
const WITH_THE_SACL: &[&str] =
    &["D:(A;;AS;;;WD)(A;CI;KA;;;WD)", "D:(A;CI;KA;;;SY)(A;;AS;;;WD)(A;;KR;;;WD)"];
/// Inheritable labels whose masks have generic rights beside a policy.
const LABELS: &[&str] = &["S:(ML;CI;0x80000001;;;ME)", "S:(ML;CI;0x10000002;;;LW)"];
/// What is asked for then.
const FOR_THE_SACL: &[u32] = &[0x0100_0000, 0x0102_0000, 0x0300_0000];
const REG_OPEN_LINK: u32 = 1;

impl Generator {
    /// Somebody creates a link where keys may be created.
    pub(in super::super) fn link_among_keys(&mut self) {
        let parent = self.secured(WITHOUT_LINKS);
        self.actor = self.next_actor();
        let handle = Handle(self.pick(HANDLES).to_owned());
        self.create_link(&format!("{parent}\\Loop"), &handle, None);
        self.mend_path(parent);
    }

    /// Somebody asks for the SACL where the DACL seems to grant it.
    pub(in super::super) fn ask_for_the_sacl(&mut self) {
        let path = self.secured(WITH_THE_SACL);
        for _ in 0..2 {
            self.actor = self.next_actor();
            let handle = Handle(self.pick(HANDLES).to_owned());
            self.remember(handle.clone());
            let access = FOR_THE_SACL[self.rng.random_range(0..FOR_THE_SACL.len())];
            let path = Text::from(path.as_str());
            let open =
                Action::Open { handle: handle.clone(), parent: None, path, access, flags: 0 };
            self.act(2, open);
            let key = KeyReference::Handle(handle);
            let security_info = sddl::SACL;
            self.act(2, Action::GetSecurity { key, security_info, capacity: None });
        }
        self.mend_path(path);
    }

    /// A key is created below one whose label has generic rights in its mask, and its SACL is read.
    pub(in super::super) fn inherit_a_label(&mut self) {
        self.actor = 0;
        let parent = self.paths[0].clone();
        let child = format!("{parent}\\Labelled");
        let label = bytes_of(self.pick(LABELS));
        self.set_sacl(&parent, label);
        self.sequence += 1;
        let path = Text::from(child.as_str());
        let (access, flags, layer) = (0x000F_003F, 0, None);
        self.act(2, Action::Create { handle: None, parent: None, path, access, flags, layer });
        let key = KeyReference::Path(Text::from(child.as_str()));
        self.act(3, Action::GetSecurity { key, security_info: sddl::SACL, capacity: None });
        self.set_sacl(&parent, bytes_of("S:"));
    }

    fn set_sacl(&mut self, path: &str, descriptor: Vec<u8>) {
        let key = KeyReference::Path(Text::from(path));
        self.act(3, Action::SetSecurity { key, security_info: sddl::SACL, descriptor });
    }

    /// A link is opened itself by a path that passes through another one.
    pub(in super::super) fn link_behind_a_link(&mut self) {
        self.actor = 0;
        let handle = Handle(self.pick(HANDLES).to_owned());
        let (parent, end) = (self.paths[0].clone(), self.path_of_a_key());
        for (path, target) in
            [("Machine\\Link".to_owned(), &parent), (format!("{parent}\\Loop"), &end)]
        {
            self.create_link(&path, &handle, None);
            self.set_link(&handle, target);
        }
        let path = Text::from("Machine\\Link\\Loop");
        for flags in [REG_OPEN_LINK, 0] {
            self.remember(handle.clone());
            let (handle, path) = (handle.clone(), path.clone());
            let access = 0x0002_0019;
            self.act(2, Action::Open { handle: handle.clone(), parent: None, path, access, flags });
            let key = KeyReference::Handle(handle);
            self.act(2, Action::Info { key, name_capacity: None });
        }
    }

    fn path_of_a_key(&mut self) -> String {
        let index = self.rng.random_range(0..self.paths.len());
        self.paths[index].clone()
    }

    /// SYSTEM gives a key that is there one of these DACLs.
    fn secured(&mut self, descriptors: &[&'static str]) -> String {
        self.actor = 0;
        let path = self.paths[0].clone();
        let key = KeyReference::Path(Text::from(path.as_str()));
        let descriptor = bytes_of(self.pick(descriptors));
        self.act(1, Action::SetSecurity { key, security_info: sddl::DACL, descriptor });
        path
    }
}
