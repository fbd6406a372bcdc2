"""The addresses of those who run the installation: at the site's root, on every host, over all businesses."""

from django.urls import URLPattern, URLResolver, path

from web.ops import acting, dashboard, looking

app_name = "ops"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard.dashboard, name="dashboard"),
    path("live/", dashboard.live, name="live"),
    path("charts/", dashboard.charts_only, name="charts"),
    path("find/", looking.find, name="find"),
    path("jobs/", looking.jobs, name="jobs"),
    path("jobs/retry/", acting.retry, name="retry"),
    path("jobs/discard/", acting.discard, name="discard"),
    path("jobs/<int:job_id>/", looking.job, name="job"),
    path("money/", looking.money, name="money"),
    path("events/", looking.events, name="events"),
    path("events/<int:event_id>/", looking.event, name="event"),
    path("events/<int:event_id>/rehearse/", acting.rehearse, name="rehearse"),
    path("events/<int:event_id>/replay/", acting.replay, name="replay"),
    path("queues/<str:queue>/pause/", acting.pause, name="pause"),
    path("queues/<str:queue>/resume/", acting.resume, name="resume"),
    path("workers/<str:worker>/drain/", acting.drain, name="drain"),
    path("workers/<str:worker>/return/", acting.take_back, name="take_back"),
    path("payments/<uuid:payment_id>/", looking.payment, name="payment"),
    path("payments/<uuid:payment_id>/text/", looking.payment_text, name="payment_text"),
    path("payments/<uuid:payment_id>/read/", acting.read_payment, name="read_payment"),
    path("sales/<uuid:reference>/", looking.sale, name="sale"),
    path("actions/", looking.done, name="actions"),
]
