mod checker;
mod record;
