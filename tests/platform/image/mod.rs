//! The images: the daemon's, and the one of the app that shows versions in a browser.

mod container;
mod daemon;
mod layout;
mod test_app;
