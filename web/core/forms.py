"""How every form is drawn: labels, help and errors tied to their fields, and a summary of errors at the top.

`{{ form }}` draws the whole form, `{{ form.field.as_field_group }}` one field.
"""

from django.forms.renderers import TemplatesSetting


class Renderer(TemplatesSetting):
    """Draw forms with the templates in web/templates/forms/."""

    form_template_name = "forms/form.html"
    field_template_name = "forms/field.html"
