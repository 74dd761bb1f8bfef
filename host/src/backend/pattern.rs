//! Patterns of names, as the grant has them.
//!
//! `*` stands for any run of characters without a slash, also for none; `**` for any run at all. Everything else stands for itself, case included. A pattern covers a name when it covers all
//! of it. There is nothing else to know: no `?`, no sets, no escapes, since none of the names has these characters.

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Character(char),
    /// `*`
    WithoutSlash,
    /// `**`
    Anything,
}

impl Pattern {
    /// The pattern `text`. Every text is one.
    pub(crate) fn new(text: &str) -> Pattern {
        let mut tokens = Vec::new();
        for character in text.chars() {
            match (character, tokens.last_mut()) {
                ('*', Some(last @ (Token::WithoutSlash | Token::Anything))) => *last = Token::Anything,
                ('*', _) => tokens.push(Token::WithoutSlash),
                (other, _) => tokens.push(Token::Character(other)),
            }
        }
        Pattern(tokens)
    }

    /// Whether the pattern covers all of `name`.
    pub(crate) fn covers(&self, name: &str) -> bool {
        // `reached[i]` says whether the tokens so far can end before token `i`. Every character moves the whole row on, so that no pattern takes
        // more than its length times the name's.
        let mut reached = vec![false; self.0.len() + 1];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        self.skip_empty_runs(&mut reached);
        for character in name.chars() {
            let mut next = vec![false; reached.len()];
            for (index, token) in self.0.iter().enumerate() {
                if !reached.get(index).copied().unwrap_or(false) {
                    continue;
                }
                let target = match token {
                    Token::Character(own) if *own == character => index + 1,
                    Token::Anything => index,
                    Token::WithoutSlash if character != '/' => index,
                    _ => continue,
                };
                if let Some(place) = next.get_mut(target) {
                    *place = true;
                }
            }
            self.skip_empty_runs(&mut next);
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    fn skip_empty_runs(&self, reached: &mut [bool]) {
        for (index, token) in self.0.iter().enumerate() {
            let here = reached.get(index).copied().unwrap_or(false);
            if here
                && !matches!(token, Token::Character(_))
                && let Some(after) = reached.get_mut(index + 1)
            {
                *after = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, covered: &[&str], others: &[&str]) {
        let pattern = Pattern::new(text);
        for name in covered {
            assert!(pattern.covers(name), "`{text}` should cover `{name}`");
        }
        for name in others {
            assert!(!pattern.covers(name), "`{text}` should not cover `{name}`");
        }
    }

    #[test]
    fn a_prefix_stops_at_the_star() {
        check("web-*", &["web-1", "web-", "web-a-b"], &["web", "my-web-1", "Web-1", ""]);
        check("*-web", &["my-web", "-web"], &["my-web-1"]);
        check("a*b*c", &["abc", "axxbyyc", "abbc"], &["ab", "abcd", "xabc"]);
    }

    #[test]
    fn a_name_without_a_star_is_that_name() {
        check("web", &["web"], &["web1", "we", "WEB", "", "w*b"]);
        check("", &[""], &["web"]);
    }

    #[test]
    fn one_star_stops_at_a_slash_and_two_do_not() {
        check("docker.io/library/*", &["docker.io/library/redis:7"], &["docker.io/library/a/b:1", "docker.io/redis:7"]);
        check("localhost:5000/**", &["localhost:5000/a:1", "localhost:5000/a/b/c:1"], &["localhost:5001/a:1", "localhost:5000"]);
        check("**", &["", "a/b"], &[]);
        check("*", &["", "web"], &["a/b"]);
        check("a/***/c", &["a/b/x/c"], &["a/c"]);
    }
}
