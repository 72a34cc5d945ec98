//! The wire types: Experiment and Trial. No logic beyond accessors.
