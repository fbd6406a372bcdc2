"""Finding a person at the till by the beginnings of words: of the name, the e-mail address, the phone number.

Full-text search of PostgreSQL without a dictionary, so that nothing has to be installed. The words carry their
business's key: the index is as selective with a thousand businesses as with one. A word without Latin letters
(a phone number, a Korean name) is found from any of its characters: people know the last four digits, or a
given name that follows its family name without a space.
"""

from django.db import migrations

# Standard SQL bodies: bound to what they call when they are made, so that no search path is needed.
FUNCTIONS = r"""
CREATE FUNCTION paydesk_words(text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_remove(regexp_split_to_array(lower($1), '[\s!-/:-@\[-`{-~]+'), '');

CREATE FUNCTION paydesk_person_words(business bigint, name text, email text, phone text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_to_tsvector(coalesce(array_agg(DISTINCT business || ':' || substr(word, start, 60)), '{}'))
    FROM unnest(paydesk_words(name) || paydesk_words(email)
                || array_remove(ARRAY[left(regexp_replace(phone, '[^0-9]', '', 'g'), 20)], '')) AS word,
         generate_series(1, CASE WHEN word ~ '[a-z]' THEN 1 ELSE least(length(word), 20) END) AS start;
END;

CREATE FUNCTION paydesk_person_query(business bigint, typed text)
RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg('''' || business || ':' || left(word, 60) || ''':*', ' & ')::tsquery
    FROM (SELECT word FROM unnest(paydesk_words(typed)) AS word LIMIT 8) AS words;
END;

CREATE INDEX person_found_by_word ON core_profile
    USING gin (paydesk_person_words(business_id, name, email, phone));
"""
UNDO = """
DROP INDEX person_found_by_word;
DROP FUNCTION paydesk_person_query(bigint, text);
DROP FUNCTION paydesk_person_words(bigint, text, text, text);
DROP FUNCTION paydesk_words(text);
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0002_cache_table")]

    operations = [migrations.RunSQL(FUNCTIONS, UNDO)]
