//! Both providers, imitated.
