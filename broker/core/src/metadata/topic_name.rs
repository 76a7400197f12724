//! Which topic names are legal.

use super::error::ErrorCode;
use super::image::MetadataImage;
use super::reply::ApiError;

/// Longest topic name in bytes: with `-<partition>` it must fit into a directory name.
const MAX_NAME_LENGTH: usize = 249;

/// Why `name` is no legal topic name, in Kafka's words; none if it is.
pub fn topic_name_problem(name: &str) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match name {
        "" => Some("the empty string is not allowed".to_owned()),
        "." | ".." => Some(format!("'{name}' is not allowed")),
        _ if name.len() > MAX_NAME_LENGTH => Some(format!(
            "the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
        )),
        _ if !name.bytes().all(legal) => Some(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )),
        _ => None,
    }
}

/// Refuses illegal names, and those whose metrics would clash with an existing topic's.
pub(super) fn check_new_topic_name(hard: &MetadataImage, name: &str) -> Result<(), ApiError> {
    if let Some(problem) = topic_name_problem(name) {
        let message = format!("Topic name is invalid: {problem}");
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    if hard.topic_id(name).is_some() {
        let message = format!("Topic '{name}' already exists.");
        return Err(ApiError::new(ErrorCode::TopicAlreadyExists, message));
    }
    match hard.colliding_topic(name) {
        Some(other) => {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            Err(ApiError::new(ErrorCode::InvalidTopicException, message))
        }
        None => Ok(()),
    }
}
