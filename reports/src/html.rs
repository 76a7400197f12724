//! One HTML file per run and an index per sweep: no server, no network, nothing beside the file.
//!
//! Text, tables and commands are in the file as HTML, so that they read without JavaScript; the diagrams are drawn by
//! the scripts in `templates/` from the recording, which is embedded as JSON. Whatever comes from a run is escaped:
//! [`text`] for HTML, [`data`] for JSON inside of a script element.

mod run;
mod sweep;

pub use run::run;
pub use sweep::sweep;

use crate::text::Align;

const STYLE: &str = include_str!("../templates/style.css");
const COPY: &str = include_str!("../templates/copy.js");

/// Text that stays text in HTML, between tags and in quoted attributes.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Controls other than white space are no HTML, and the direction of text is ours to say.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            other if other.is_control() && !other.is_whitespace() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// JSON that no HTML parser finds an end of its script element in.
fn data(id: &str, json: &str) -> String {
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e");
    format!("<script type=\"application/json\" id=\"{id}\">{json}</script>\n")
}

/// Puts values, which are HTML, in the places of a template. Values are not looked at for places again.
///
/// # Panics
/// A place without a value: the template and its caller do not fit.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut html = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("every place has an end");
        let value = values.iter().find(|(place, _)| *place == name);
        let (_, value) = value.unwrap_or_else(|| panic!("no value for {name}"));
        html.push_str(value);
        html.push_str(rest);
    }
    html
}

/// Rows of escaped cells.
fn table(header: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let class = |align: Align| match align {
        Align::Left => "",
        Align::Right => " class=\"n\"",
    };
    let head = header
        .iter()
        .map(|(name, align)| format!("<th scope=\"col\"{}>{}</th>", class(*align), text(name)));
    let head: String = head.collect();
    let mut html =
        format!("<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n");
    for row in rows {
        let cells = row.iter().zip(header);
        let cells =
            cells.map(|(cell, (_, align))| format!("<td{}>{}</td>", class(*align), text(cell)));
        html.push_str(&format!("<tr>{}</tr>\n", cells.collect::<String>()));
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// Names and values in the head of a page.
fn facts(pairs: &[(&str, String)]) -> String {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    pairs
        .map(|(name, value)| {
            format!(
                "<div><dt>{}</dt><dd>{}</dd></div>\n",
                text(name),
                text(value)
            )
        })
        .collect()
}

/// A command with a button that copies it.
fn command(id: &str, label: &str, command: &str) -> String {
    format!(
        "<div class=\"command\"><span>{}</span><code id=\"{id}\" tabindex=\"0\">{}</code>\
         <button type=\"button\" data-copy=\"{id}\" aria-label=\"Copy the command: {}\">Copy</button></div>\n",
        text(label),
        text(command),
        text(label),
    )
}

/// A list in columns, each entry HTML.
fn columns(class: &str, entries: impl Iterator<Item = String>) -> String {
    let entries: String = entries.map(|entry| format!("<li>{entry}</li>\n")).collect();
    format!("<ul class=\"columns{class}\">\n{entries}</ul>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_text() {
        let hostile = "<b onclick='x'>\"&\u{1b}\u{202e}\n";
        let safe = "&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;\u{fffd}\u{fffd}\n";
        assert_eq!(text(hostile), safe);
        let json = serde_json::to_string("</script><!--<script>").expect("a string");
        let embedded = data("x", &json);
        assert_eq!(embedded.matches('<').count(), 2, "{embedded}");
        let inner = embedded.split_once('>').expect("a tag").1;
        let inner = inner.rsplit_once("</").expect("its end").0;
        let back: String = serde_json::from_str(inner).expect("still JSON");
        assert_eq!(back, "</script><!--<script>");
    }

    #[test]
    fn values_are_not_templates() {
        let filled = fill("a {{x}} b {{y}}", &[("x", "{{y}}"), ("y", "2")]);
        assert_eq!(filled, "a {{y}} b 2");
    }
}
